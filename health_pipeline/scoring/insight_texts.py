"""What insights say: plain, friendly words around figures that were counted. No figure here is made up or rounded.

Every text is a pair of title and body. Names of people and tenants stay out of them.
"""

from __future__ import annotations

from datetime import date

# Not the locale's.
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_NOUNS = {
    "day": ("day", "days"),
    "action": ("action", "actions"),
    "task": ("task", "tasks"),
    "onboarding_task": ("onboarding task", "onboarding tasks"),
    "content": ("piece of content", "pieces of content"),
    "visual": ("visual", "visuals"),
    "point": ("point", "points"),
}
_MADE = {"task": "completed", "content": "created", "visual": "created"}

Text = tuple[str, str]


def counted(count: int, noun: str) -> str:
    """The count with its noun: "1 day", "2 days"."""
    one, many = _NOUNS[noun]
    return f"{count:,} {one if count == 1 else many}"


def spoken_date(day: date) -> str:
    """A date in words: "3 March 2024"."""
    return f"{day.day} {_MONTHS[day.month - 1]} {day.year}"


def weekly_summary(active_days: int, events: int, high_value_events: int) -> Text:
    body = f"You were active on {counted(active_days, 'day')} this week and took {counted(events, 'action')}."
    if high_value_events:
        body += f" Results among them, such as finished tasks or new content: {high_value_events:,}."
    return "Your week at a glance", body


def achievement_created(content: int, visuals: int) -> Text:
    made = [counted(count, noun) for count, noun in ((content, "content"), (visuals, "visual")) if count]
    return "You created something new", f"You made {' and '.join(made)} this week. Well done!"


def milestone(kind: str, number: int, total: int) -> Text:
    """kind: task, content or visual."""
    done = _MADE[kind]
    return (
        f"Milestone reached: {counted(number, kind)} {done}",
        f"You have {done} {counted(total, kind)} in all. Congratulations!",
    )


def inactive_since(last_active_on: date) -> Text:
    return (
        "We missed you this week",
        f"Your last activity was on {spoken_date(last_active_on)}. A few minutes are enough to pick up where you left off.",
    )


def never_active(joined_on: date) -> Text:
    return (
        "Ready when you are",
        f"You joined on {spoken_date(joined_on)}, and there has been no activity yet. A few minutes are enough to start.",
    )


def onboarding_nearly_done(left: int, completed: int) -> Text:
    title = f"Almost there: {counted(left, 'onboarding_task')} to go"
    if not completed:
        return title, "Finish what is left, and your setup is complete."
    return (
        title,
        f"You have already completed {counted(completed, 'task')}. Finish what is left, and your setup is complete.",
    )
