"""Hostile source data for client success: random but seeded, aimed at every edge that client-success.md names."""

from __future__ import annotations

import random
from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial
from itertools import product

from health_pipeline_tests.reference.calendar import MICROSECOND
from health_pipeline_tests.reference.client_success import WEEK, Client, Rules, component_scores, rules_of
from health_pipeline_tests.reference.contract import Row, Source
from health_pipeline_tests.reference.hostile_scene import AROUND, Scene
from health_pipeline_tests.reference.hostile_tenants import add_tenant, life
from health_pipeline_tests.reference.scoring import overall

DAY = timedelta(days=1)
HIGH_VALUE = ("task_completed", "content_generated", "visual_created", "export_downloaded", "feedback_given")
EVENT_TYPES = (
    *(*HIGH_VALUE, "login", "page_view", "voice_interaction", "insight_reviewed", "launch_kit_viewed"),
    *(
        "Content_Generated",
        " visual_created",
        "TASK_COMPLETED",
        "launch_kit_viewed ",
        "made_up \U0001f680",
        "a\"b'c\\d",
    ),
)
TASK_STATUSES = (
    *("PENDING", "IN_PROGRESS", "IN_PROGRESS", "COMPLETED", "COMPLETED", "SKIPPED", "SKIPPED"),
    *("in_progress", "Completed", " SKIPPED", "DONE", "", "\u00a0"),
)
EMAILS = (None, "", " ", "\u00a0", "\t\n\u3000", "a@example.com", " b@example.com ", "\u00fc'\"<b>@example.com")
DURATIONS = (None, None, 0, 1, -5, 2_147_483_647)
SESSIONS = (None, "", " ", "s", "S", "s ", "\U0001f680")

# Weekly overall scores: every band's edges, changes of 4, 5 and 6, drops of 19, 20, 29 and 30, and runs of churn that
# begin before the newest weeks, are broken by a small change or by a rise, and begin again.
SCORE_PATHS = (
    (75, 80, 79, 60, 59, 40, 39, 44, 49, 80, 79, 59),
    (50, 55, 59, 54, 50, 45, 40, 35, 39, 60, 65, 61),
    (75, 56, 70, 41, 60, 80, 50, 79, 50, 70, 50, 31),
    (60, 39, 34, 29, 24, 19, 23, 18, 13, 8, 30, 24),
    (44, 39, 34, 29, 24, 20, 15, 10, 5, 0, 4, 9),
    (70, 40, 35, 30, 26, 21, 16, 30, 25, 20, 40, 20),
)


@dataclass(frozen=True)
class Person:
    """A user and the user's tenant."""

    user_id: str
    tenant_id: str


class Clients(Scene):
    """The scene, with Sundays and persons."""

    @property
    def sundays(self) -> list[date]:
        """The Sundays that the days need: those in them and the newest before them; at least one."""
        return [day for day in self.days_from(self.first - 6 * DAY) if day.isoweekday() == 7]

    def days_from(self, day: date) -> list[date]:
        """Every day from this one to the last."""
        return [day + n * DAY for n in range((self.last - day).days + 1)]

    def start(self, day: date) -> datetime:
        """00:00 of the day."""
        return self.end(day - DAY)

    def a_sunday(self) -> date:
        """One of the Sundays."""
        return self.rng.choice(self.sundays)

    def person(self, role: str = "steady", **values: object) -> Person:
        """A user of a tenant of that role, created long ago unless told otherwise."""
        # A scene in which no restless tenant could be created before the clock has steady ones only.
        tenant_id = self.rng.choice(self.tenants(role) or self.tenants("steady"))
        given = {
            "name": self.rng.choice(["", None, "Same name", "<b>\U0001f680</b> {{ 7 * 7 }}"]),
            "email": self.rng.choice(EMAILS),
            "insights_opt_in": self.rng.choice([True, True, False, None]),
        }
        return Person(self.add_user(tenant_id, **{**given, **values}), tenant_id)

    def event(self, person: Person, event_type: str, occurred_at: datetime) -> None:
        """An event with or without session and duration."""
        values = {"session_id": self.rng.choice(SESSIONS), "duration_seconds": self.rng.choice(DURATIONS)}
        self.add_event(person.tenant_id, person.user_id, event_type, occurred_at, **values)

    def events(self, person: Person, event_type: str, instants: Iterable[datetime]) -> None:
        """An event of that type at each instant."""
        for instant in instants:
            self.event(person, event_type, instant)

    def task(self, person: Person, **values: object) -> None:
        """An onboarding task, pending and created long ago unless told otherwise."""
        task = {"task_id": self.new_id("onboarding_tasks"), "tenant_id": person.tenant_id, "user_id": person.user_id}
        self.add("onboarding_tasks", **task, **{"status": "PENDING", "created_at": self.long_ago, **values})

    def feedback(self, person: Person, score: int, submitted_at: datetime) -> None:
        """A satisfaction answer."""
        owner = {"tenant_id": person.tenant_id, "user_id": person.user_id, "feedback_id": self.new_id("feedback")}
        self.add("feedback", **owner, score=score, submitted_at=submitted_at)

    def in_week(self, sunday: date) -> datetime:
        """An instant in the week before the Sunday."""
        begin, end = self.start(sunday - WEEK), self.start(sunday)
        return begin + self.rng.random() * (end - begin - MICROSECOND)


def hostile_clients(
    seed: int,
    *,
    clients: int = 20,
    days: tuple[date, date],
    zone: str = "UTC",
    clock: datetime,
    optional: Iterable[str] = ("onboarding_tasks", "feedback"),
    faults: bool = True,
) -> Source:
    """Source rows around the days first to last: `clients` ordinary ones beside those of the traps (about 280).

    Every row has every column of the contract. `optional` names the optional tables to include. Without `faults` no
    row is bad at `clock`; with them at most nine rows of a table are, so that the run goes on whatever their share.
    """
    scene = Clients(random.Random(seed), days[0], days[1], zone, clock, {"tenants", "users", "events", *optional})
    for _ in range(4):
        add_tenant(scene, "steady", "Retail", "A", scene.long_ago, None)
    for _ in range(6):
        add_tenant(scene, "restless", "Retail", "A", *life(scene))
    for _ in range(clients):
        ordinary_client(scene)
    for trap in TRAPS:
        trap(scene)
    if faults:
        bad_rows(scene)
    for rows in scene.source.values():
        scene.rng.shuffle(rows)
    return scene.source


def ordinary_client(scene: Clients) -> None:
    """A client of any tenant with some of everything."""
    person = scene.person(scene.rng.choice(["steady", "restless"]))
    for _ in range(scene.rng.randrange(40)):
        scene.event(person, scene.rng.choice(EVENT_TYPES), scene.moment())
    for _ in range(scene.rng.randrange(6)):
        any_task(scene, person)
    for _ in range(scene.rng.randrange(4)):
        scene.feedback(person, scene.rng.choice([0, 1, 50, 99, 100]), scene.moment())


def any_task(scene: Clients, person: Person) -> None:
    """A task of any status, with or without each of its dates, which need not agree with the status or one another."""
    values: dict[str, datetime | None] = {
        column: scene.rng.choice([None, scene.moment(), scene.edge(), scene.long_ago])
        for column in ("started_at", "updated_at", "completed_at")
    }
    created_at = scene.rng.choice([scene.long_ago, scene.moment()])
    if values["completed_at"] is not None:
        created_at = min(created_at, values["completed_at"])  # otherwise the row is bad
    scene.task(person, status=scene.rng.choice(TASK_STATUSES), created_at=created_at, **values)


def silence(scene: Clients) -> None:
    """Silence of 48 h, 72 h and 7 days to the microsecond at the end of a day, after an event or from creation on."""
    for hours in (48, 72):
        for step in AROUND:
            for _ in range(3):
                last = scene.end(scene.rng.choice(scene.days)) - timedelta(hours=hours) + step
                person = scene.person()
                scene.events(person, scene.rng.choice(EVENT_TYPES), [last, last - scene.rng.random() * 9 * DAY])
                if scene.rng.random() < 0.6:  # comes back, a day or more after the alert
                    scene.event(person, "login", scene.moment())
                    scene.event(person, "login", last + scene.rng.randrange(3, 12) * DAY)
            scene.person(created_at=last)
            before_creation = scene.person(created_at=last)
            scene.event(before_creation, "login", last - 5 * DAY)
    for step in AROUND:
        begin = scene.start(scene.a_sunday() - WEEK) + step
        scene.event(scene.person(), "made_up", begin)
        scene.person(created_at=begin)


def windows(scene: Clients) -> None:
    """Events and feedback at the edges of the windows of 7, 14, 28 and 90 days before a Sunday, and at its 00:00."""
    for step in AROUND:
        for days in (0, 7, 14, 28):
            edge = scene.start(scene.a_sunday() - days * DAY) + step
            for event_type in ("content_generated", "visual_created", "page_view"):
                person = scene.person()
                scene.events(person, event_type, [edge, edge - 3 * DAY, edge - 10 * DAY])
        for days in (0, 90):
            person = scene.person()
            sunday = scene.a_sunday()
            scene.feedback(person, 100, scene.start(sunday - days * DAY) + step)
            scene.feedback(person, scene.rng.choice([0, 1, 49]), scene.start(sunday - 40 * DAY))


def few_events(scene: Clients) -> None:
    """4 and 5 events in two weeks, in every division that decides; the limits of 5 days, 20 and 3 events."""
    for this_week, week_before in ((0, 4), (4, 0), (2, 2), (0, 5), (5, 0), (3, 2), (1, 7), (3, 5)):
        person, sunday = scene.person(), scene.a_sunday()
        scene.events(person, "page_view", (scene.in_week(sunday) for _ in range(this_week)))
        scene.events(person, "page_view", (scene.in_week(sunday - WEEK) for _ in range(week_before)))
    for active_days, events, high_value in ((4, 19, 2), (5, 20, 3), (6, 21, 4), (7, 13, 3), (1, 7, 0)):
        person, sunday = scene.person(), scene.a_sunday()
        for n in range(events):
            day_start = scene.start(sunday - (1 + n % active_days) * DAY)
            event_type = HIGH_VALUE[n % 5] if n < high_value else "page_view"
            scene.event(person, event_type, day_start + scene.rng.choice([timedelta(0), timedelta(hours=22)]))
    for contents, visuals in ((7, 3), (8, 4), (9, 5), (1, 0), (5, 1)):
        person, sunday = scene.person(), scene.a_sunday()
        for event_type, count in (("content_generated", contents), ("visual_created", visuals)):
            scene.events(person, event_type, (scene.in_week(sunday - n % 4 * WEEK) for n in range(count)))


def milestones(scene: Clients) -> None:
    """Lifetime counts that reach 10, 50 and 100 at the edges of a week, miss them by one, and jump over two."""
    counts = ((9, 1), (8, 1), (10, 1), (48, 2), (49, 1), (50, 9), (98, 1), (99, 1), (9, 91), (0, 50), (100, 1), (7, 43))
    event_types = ("task_completed", "content_generated", "visual_created")
    for n, (event_type, (before, in_week)) in enumerate(product(event_types, counts)):
        person, sunday = scene.person(), scene.a_sunday()
        scene.events(person, event_type, (scene.in_week(sunday - WEEK) for _ in range(before)))
        begin, end = scene.start(sunday - WEEK), scene.start(sunday)
        # The one that reaches it: first in the week, last in the week, first after it.
        scene.event(person, event_type, (begin, end - MICROSECOND, end)[(n + n // len(counts)) % 3])
        scene.events(person, event_type, (scene.in_week(sunday) for _ in range(in_week - 1)))


def tasks(scene: Clients) -> None:
    """Tasks that stall at 72 h to the microsecond, change at a Sunday, are nearly done, or round at half a point."""
    for column in ("created_at", "started_at", "updated_at"):
        for step in AROUND:
            end = scene.end(scene.rng.choice(scene.days))
            values: dict[str, datetime] = {"started_at": scene.long_ago, column: end - timedelta(hours=72) + step}
            scene.task(scene.person(), status="IN_PROGRESS", **values)
            if column != "updated_at":  # an update that is not yet seen, or has just been
                scene.task(scene.person(), status="IN_PROGRESS", **values, updated_at=end + scene.rng.choice(AROUND))
            at_sunday = {column: scene.start(scene.a_sunday()) + step}
            for status in ("PENDING", "IN_PROGRESS", "COMPLETED", "SKIPPED", "completed"):
                scene.task(scene.person(), status=status, **at_sunday)
                scene.task(scene.person(), status=status, **at_sunday, completed_at=scene.end(scene.last) - MICROSECOND)
    for step in AROUND:
        scene.task(scene.person(), completed_at=scene.start(scene.a_sunday()) + step)
    for completed, skipped, pending, in_progress in (
        *((0, 0, 0, 0), (0, 3, 0, 0), (3, 0, 0, 0), (4, 1, 1, 0), (4, 0, 1, 2), (4, 0, 2, 2), (0, 2, 0, 1)),
        *((1, 0, 31, 0), (3, 1, 26, 3), (1, 0, 2, 0)),
    ):
        person = scene.person()
        counted = {"COMPLETED": completed, "SKIPPED": skipped, "PENDING": pending, "IN_PROGRESS": in_progress}
        for status, count in counted.items():
            for _ in range(count):
                scene.task(person, status=status)
        launch_kit = [scene.long_ago, scene.start(scene.a_sunday()) + scene.rng.choice(AROUND), scene.moment()]
        scene.event(person, "launch_kit_viewed", scene.rng.choice(launch_kit))


def lives(scene: Clients) -> None:
    """Clients who come and go at edges and at 00:00 of a Sunday, in tenants that do, with their alerts and scores."""
    shapes: list[tuple[datetime, datetime | None]] = []
    for step in AROUND:
        begin = scene.start(scene.a_sunday()) + step
        shapes += [(begin, None), (scene.long_ago, begin), (begin - WEEK, begin), life(scene)]
    for created_at, deactivated_at in shapes:
        for role in ("steady", "restless"):
            person = scene.person(role, created_at=created_at, deactivated_at=deactivated_at)
            for _ in range(scene.rng.randrange(9)):
                scene.event(person, scene.rng.choice(EVENT_TYPES), scene.moment())
            scene.task(person, status="IN_PROGRESS", created_at=created_at)


def rows_of_others(scene: Clients) -> None:
    """Events, tasks and feedback under a wrong tenant, or under an id in other case: they are nobody's."""
    for _ in range(3):
        person = scene.person(email="c@example.com", insights_opt_in=True)
        for tenant_id in scene.all_tenants():
            user_id = person.user_id if tenant_id != person.tenant_id else person.user_id.swapcase() + " "
            stranger = Person(user_id, tenant_id)
            for event_type in ("login", "launch_kit_viewed", "content_generated"):
                scene.event(stranger, event_type, scene.in_week(scene.a_sunday()))
            scene.task(stranger, status="COMPLETED")
            scene.task(stranger, status="IN_PROGRESS")
            scene.feedback(stranger, 0, scene.in_week(scene.a_sunday()))


def score_paths(scene: Clients) -> None:
    """Clients whose overall score takes given values from Sunday to Sunday, as near as can be."""
    if not {"onboarding_tasks", "feedback"} <= set(scene.source):
        return
    rules = rules_of(scene.zone, None)
    for path in SCORE_PATHS:
        person = scene.person()
        user = next(row for row in scene.source["users"] if row["user_id"] == person.user_id)
        answers: list[Row] = []
        client = Client(user, {"created_at": scene.long_ago, "deactivated_at": None}, [], [], answers)
        # The last Sunday is met by the last value, so that the first ones lie before the days.
        newest = scene.sundays[-1]
        for weeks_ago, score in zip(reversed(range(len(path))), path, strict=True):
            live_a_week(scene, client, answers, newest - weeks_ago * WEEK, score, rules)
        for event in client.events:
            scene.event(person, event["event_type"], event["occurred_at"])
        for answer in answers:
            scene.feedback(person, answer["score"], answer["submitted_at"])


def live_a_week(scene: Clients, client: Client, answers: list[Row], sunday: date, wanted: int, rules: Rules) -> None:
    """Give the client a week of events and of feedback (`answers`) after which the overall score is the wanted one.

    Weeks of more or less activity are tried, until the answers can make up the difference; failing that, the last try
    stays.
    """
    events = client.events
    before = len(events), len(answers)
    least, most = 0.0, 1.0
    for attempt in range(20):
        del events[before[0] :], answers[before[1] :]
        intensity = scene.rng.uniform(least, most)
        for event_type, full in (("page_view", 22), ("content_generated", 8), ("visual_created", 4)):
            for _ in range(round(full * intensity)):
                events.append({"event_type": event_type, "occurred_at": scene.in_week(sunday)})
        given: Row = {"submitted_at": scene.in_week(sunday)}
        answers.extend([given] * scene.rng.randrange(1, 4 + attempt))
        score_with = partial(overall_with, client, given, sunday=sunday, rules=rules)
        if score_with(100) < wanted:
            least = intensity
        elif score_with(0) > wanted:
            most = intensity
        else:
            answer = bisect_left(range(101), wanted, key=score_with)
            if score_with(answer) == wanted:
                return


def overall_with(client: Client, given: Row, answer: int, *, sunday: date, rules: Rules) -> int:
    """The overall score of the client once the given feedback says `answer`."""
    given["score"] = answer
    score, _ = overall(component_scores(client, sunday, rules), rules.policy)
    if score is None:
        raise AssertionError("engagement and progress can always be measured")
    return score


def bad_rows(scene: Clients) -> None:
    """Rows that are left out, of a client whose figures each of them would change."""
    person = scene.person(email="d@example.com", insights_opt_in=True)
    owner: Row = {"tenant_id": person.tenant_id, "user_id": person.user_id}
    past, ahead, in_week = scene.long_ago, scene.clock + MICROSECOND, scene.in_week(scene.a_sunday())
    user = {"tenant_id": person.tenant_id, "created_at": past, "email": "e@example.com", "insights_opt_in": True}
    scene.add_anyway("users", **{**user, "user_id": "ends early", "deactivated_at": past - MICROSECOND})
    scene.add_anyway("users", **{**user, "user_id": "from the future", "created_at": ahead})
    scene.add_anyway("users", **{**user, "user_id": "of a stranger", "tenant_id": person.tenant_id + "\u00a0"})
    scene.add_anyway("users", **{**user, "user_id": "twice", "created_at": past + MICROSECOND})
    scene.add_anyway("users", **{**user, "user_id": "twice", "insights_opt_in": False})  # stays
    event: Row = {**owner, "event_type": "content_generated", "occurred_at": in_week}
    scene.add_anyway("events", **{**event, "user_id": ""})
    scene.add_anyway("events", **{**event, "event_type": ""})
    scene.add_anyway("events", **{**event, "tenant_id": "nowhere"})
    scene.add_anyway("events", **{**event, "occurred_at": ahead})
    scene.add_anyway("events", **{**event, "occurred_at": "-infinity"})
    scene.add_anyway("events", **event, event_id="twice", duration_seconds=7)
    scene.add_anyway("events", **event, event_id="twice", duration_seconds=60)  # stays: "60" < "7"
    task: Row = {**owner, "status": "COMPLETED", "created_at": past}
    scene.add_anyway("onboarding_tasks", **{**task, "task_id": "", "status": "IN_PROGRESS"})
    scene.add_anyway("onboarding_tasks", **{**task, "task_id": "no status", "status": None})
    scene.add_anyway("onboarding_tasks", **task, task_id="ends early", completed_at=past - MICROSECOND)
    scene.add_anyway("onboarding_tasks", **task, task_id="updated in the future", updated_at=ahead)
    scene.add_anyway("onboarding_tasks", **task, task_id="never started", started_at="-infinity")
    scene.add_anyway("onboarding_tasks", **{**task, "task_id": "twice", "status": "SKIPPED"})
    scene.add_anyway("onboarding_tasks", **task, task_id="twice")  # stays: COMPLETED < SKIPPED
    answer: Row = {**owner, "submitted_at": in_week, "score": 100}
    scene.add_anyway("feedback", **{**answer, "feedback_id": "above", "score": 101})
    scene.add_anyway("feedback", **{**answer, "feedback_id": "below", "score": -1})
    scene.add_anyway("feedback", **{**answer, "feedback_id": "from the future", "submitted_at": ahead})
    scene.add_anyway("feedback", **answer, feedback_id="twice")  # stays: "100" < "9"
    scene.add_anyway("feedback", **{**answer, "score": 9}, feedback_id="twice")


TRAPS: tuple[Callable[[Clients], None], ...] = (
    silence,
    windows,
    few_events,
    milestones,
    tasks,
    lives,
    rows_of_others,
    score_paths,
)
