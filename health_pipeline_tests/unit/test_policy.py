"""The policy file: the shipped one is the specification's, what a file may change, and how a wrong one is refused."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest

from health_pipeline.errors import PolicyError
from health_pipeline.policy.load import load_policy
from health_pipeline.policy.model import Policy
from health_pipeline_tests.reference.scoring import COMPONENTS, SHIPPED_POLICY

Load = Callable[[str], Policy]
_numbers = itertools.count()


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Loads a policy from its text."""

    def from_text(text: str) -> Policy:
        path = tmp_path / f"policy_{next(_numbers)}.yaml"
        path.write_text(text, encoding="utf-8")
        return load_policy(path)

    return from_text


def tenant_health(text: str) -> str:
    """The text as the section tenant_health, in YAML's flow style."""
    return f"tenant_health: {{{text}}}"


def test_the_shipped_policy_is_the_specification() -> None:
    policy = load_policy(None).tenant_health
    rules = {name: getattr(policy.components, name) for name in COMPONENTS}
    assert {name: rule.weight for name, rule in rules.items()} == SHIPPED_POLICY["weights"]
    assert {name: rules[name].target for name in SHIPPED_POLICY["targets"]} == SHIPPED_POLICY["targets"]
    at_zero = {name: rules[name].nothing_to_measure for name in SHIPPED_POLICY["nothing_to_measure"]}
    assert at_zero == SHIPPED_POLICY["nothing_to_measure"]
    assert policy.components.support_ticket_score.points_per_ticket == 10
    assert (policy.trend.lag_days, policy.trend.threshold) == (1, 5)
    risk = policy.risk
    assert (risk.high_below, risk.high_if_declining_below, risk.medium_below) == (40, 60, 70)
    assert policy.category_of == SHIPPED_POLICY["features"]
    bands = [(band.name, band.employee_min, band.employee_max) for band in policy.peers.rules.size_bands]
    assert bands == SHIPPED_POLICY["size_bands"]
    assert (policy.peers.min_peers, policy.peers.min_peers_for_extremes) == (5, 10)


def test_a_file_states_only_what_differs(load: Load) -> None:
    shipped = load_policy(None)
    changed = load(tenant_health("components: {login_score: {weight: 2.5}}, trend: {lag_days: 7}"))
    assert changed.tenant_health.components.login_score.weight == Fraction(5, 2)
    assert changed.tenant_health.components.login_score.target == 70
    assert (changed.tenant_health.trend.lag_days, changed.tenant_health.trend.threshold) == (7, 5)
    assert (
        changed.tenant_health.components.support_ticket_score == shipped.tenant_health.components.support_ticket_score
    )
    assert changed.order_health == shipped.order_health
    assert changed.client_success == shipped.client_success


def test_a_catalogue_and_size_bands_are_replaced_as_a_whole(load: Load) -> None:
    text = 'features: {all: [ONE, TWO]}, peers: {size_bands: ["1-9", "10+"]}'
    policy = load(tenant_health(text)).tenant_health
    assert policy.category_of == {"ONE": "all", "TWO": "all"}
    assert policy.peers.size_bands == ("1-9", "10+")
    assert policy.peers.min_peers == 5


def test_a_file_without_anything_changes_nothing(load: Load) -> None:
    assert load("# nothing yet\n") == load_policy(None)


REFUSALS = [
    # An unknown key, at every level.
    ("tenant_helth: {}", "tenant_helth", "unknown key"),
    (tenant_health("weights: {}"), "tenant_health.weights", "unknown key"),
    (tenant_health("risk: {low_below: 3}"), "tenant_health.risk.low_below", "unknown key"),
    (
        tenant_health("components: {support_ticket_score: {target: 3}}"),
        "tenant_health.components.support_ticket_score.target",
        "unknown key",
    ),
    (tenant_health("components: {loginscore: {weight: 3}}"), "tenant_health.components.loginscore", "unknown key"),
    # Weights, targets and scores.
    (
        tenant_health(f"components: {{{', '.join(f'{name}: {{weight: 0}}' for name in COMPONENTS)}}}"),
        "tenant_health.components",
        "sum to 0",
    ),
    (
        tenant_health("components: {login_score: {weight: -1}}"),
        "tenant_health.components.login_score.weight",
        "greater than or equal to 0",
    ),
    (
        tenant_health("components: {login_score: {weight: much}}"),
        "tenant_health.components.login_score.weight",
        "number",
    ),
    (
        tenant_health("components: {login_score: {weight: .nan}}"),
        "tenant_health.components.login_score.weight",
        "",
    ),
    (
        tenant_health("components: {login_score: {weight: .inf}}"),
        "tenant_health.components.login_score.weight",
        "",
    ),
    (
        tenant_health("components: {login_score: {weight: null}}"),
        "tenant_health.components.login_score.weight",
        "",
    ),
    (
        tenant_health("components: {login_score: {weight: true}}"),
        "tenant_health.components.login_score.weight",
        "",
    ),
    (
        tenant_health("components: {login_score: {target: 0}}"),
        "tenant_health.components.login_score.target",
        "greater than 0",
    ),
    (
        tenant_health("components: {login_score: {nothing_to_measure: 101}}"),
        "tenant_health.components.login_score.nothing_to_measure",
        "",
    ),
    (
        tenant_health("components: {login_score: {nothing_to_measure: ignore}}"),
        "tenant_health.components.login_score.nothing_to_measure",
        "",
    ),
    (
        tenant_health("components: {support_ticket_score: {points_per_ticket: 2.5}}"),
        "tenant_health.components.support_ticket_score.points_per_ticket",
        "integer",
    ),
    (tenant_health("components: 3"), "tenant_health.components", "dictionary"),
    # Thresholds.
    (tenant_health("risk: {high_below: 61}"), "tenant_health.risk", "out of order"),
    (tenant_health("risk: {medium_below: 59}"), "tenant_health.risk", "out of order"),
    (tenant_health("risk: {medium_below: 101}"), "tenant_health.risk.medium_below", "less than or equal to 100"),
    (tenant_health("trend: {lag_days: 0}"), "tenant_health.trend.lag_days", "greater than or equal to 1"),
    (tenant_health("trend: {threshold: -1}"), "tenant_health.trend.threshold", "greater than or equal to 0"),
    (tenant_health('trend: {lag_days: "1"}'), "tenant_health.trend.lag_days", "integer"),
    # Features.
    (tenant_health("features: {core: [SSO, SSO]}"), "tenant_health.features", "SSO is named twice"),
    (tenant_health("features: {core: [SSO], more: [SSO]}"), "tenant_health.features", "SSO is named twice"),
    (tenant_health('features: {core: [""]}'), "tenant_health.features", "empty name"),
    (tenant_health("features: [SSO]"), "tenant_health.features", "dictionary"),
    # Size bands and privacy limits.
    (
        tenant_health('peers: {size_bands: ["50-249", "1-49"]}'),
        "tenant_health.peers.size_bands",
        "1-49 is out of order",
    ),
    (tenant_health('peers: {size_bands: ["1-49", "51+"]}'), "tenant_health.peers.size_bands", "51+ is out of order"),
    (tenant_health('peers: {size_bands: ["1-49", "49+"]}'), "tenant_health.peers.size_bands", "49+ is out of order"),
    (tenant_health('peers: {size_bands: ["1+", "50+"]}'), "tenant_health.peers.size_bands", "50+ is out of order"),
    (tenant_health('peers: {size_bands: ["9-5"]}'), "tenant_health.peers.size_bands", "'9-5'"),
    (tenant_health("peers: {size_bands: [ALL]}"), "tenant_health.peers.size_bands", "'ALL'"),
    (tenant_health("peers: {size_bands: []}"), "tenant_health.peers.size_bands", "at least 1"),
    (tenant_health("peers: {min_peers: 0}"), "tenant_health.peers.min_peers", "greater than or equal to 1"),
    # The file itself.
    ("tenant_health: {trend: {lag_days: 2}, trend: {lag_days: 3}}", "", "key 'trend' is given twice"),
    ("tenant_health: {features: {core: [A], core: [B]}}", "", "key 'core' is given twice"),
    ("? [tenant_health]\n: {}", "", ""),
    ("tenant_health: [", "", "not valid YAML"),
    ("just text", "", "found a str"),
    ("- a list", "", "found a list"),
    ("tenant_health: null", "tenant_health", ""),
]


@pytest.mark.parametrize(("text", "key", "reason"), REFUSALS, ids=[text for text, _, _ in REFUSALS])
def test_a_wrong_policy_is_refused_with_the_key_and_the_reason(load: Load, text: str, key: str, reason: str) -> None:
    with pytest.raises(PolicyError) as error:
        load(text)
    message = str(error.value)
    assert "\n" not in message
    assert message.startswith("policy ")
    assert f": {key}: " in message if key else "policy_" in message
    assert reason in message


def test_a_file_that_cant_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match=r"nowhere\.yaml: can't be read: No such file.*HEALTH_POLICY"):
        load_policy(tmp_path / "nowhere.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"tenant_health: {features: {core: [\xe9]}}")
    with pytest.raises(PolicyError, match=r"latin\.yaml: is not valid YAML"):
        load_policy(tmp_path / "latin.yaml")
    with pytest.raises(PolicyError, match="can't be read: Is a directory"):
        load_policy(tmp_path)


CHANGES = [
    "components: {login_score: {weight: 21}}",
    "components: {login_score: {target: 71}}",
    "components: {login_score: {nothing_to_measure: 1}}",
    "components: {login_score: {nothing_to_measure: exclude}}",
    "components: {support_ticket_score: {points_per_ticket: 11}}",
    "trend: {lag_days: 2}",
    "trend: {threshold: 6}",
    "risk: {high_below: 41}",
    "risk: {high_if_declining_below: 61}",
    "risk: {medium_below: 71}",
    "features: {core: [SSO]}",
    "features: {other: [SSO]}",
    'peers: {size_bands: ["1+"]}',
    "peers: {min_peers: 6}",
    "peers: {min_peers_for_extremes: 11}",
]


def test_every_rule_changes_the_version(load: Load) -> None:
    versions = [load_policy(None), *(load(tenant_health(text)) for text in CHANGES)]
    assert len({policy.tenant_health.version for policy in versions}) == len(CHANGES) + 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# a comment",
        tenant_health("trend: {threshold: 5}"),
        tenant_health("components: {login_score: {weight: 20.0, target: 70.00}}"),
        "order_health: {dormant_after_days: 46}",
    ],
)
def test_what_changes_no_rule_of_tenant_health_keeps_the_version(load: Load, text: str) -> None:
    assert load(text).tenant_health.version == load_policy(None).tenant_health.version
