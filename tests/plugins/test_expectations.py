"""The file of expectations: what it may say, what an outcome means under it, and how a run rewrites it."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from flambeau_conformance.engine import Outcome
from flambeau_conformance.expectations import Book, ExpectationError, beside, judge, load, parse, verdict_for_update
from flambeau_conformance.results import Result, filled, of_id, read
from flambeau_conformance.update import literal, update
from flambeau_numpy import NumpyBackend

FILE = Path("conformance.toml")
IDS = [
    f"{level}/{op}/{variant}"
    for level in ("primitives", "operators", "nn")
    for op in ("exp", "erf", "sort")
    for variant in ("float32", "float64", "int64[1]")
]


def entry(cases: str, outcome: str, reason: str = "so it is", head: str = "[[expect]]") -> str:
    return f"{head}\ncases = {json.dumps(cases)}\noutcome = {json.dumps(outcome)}\nreason = {json.dumps(reason)}\n"


def book(text: str = "", device: str = "abacus") -> Book:
    return parse(text, device, FILE)


def outcome(status: str = "pass", way: str = "native", message: str = "", fallbacks: tuple[str, ...] = ()) -> Outcome:
    return Outcome(status, way, 0.1, message, fallbacks)


def category(text: str, case_id: str, what: Outcome) -> str:
    return judge(case_id, what, book(text)).category


# ---------------------------------------------------------------------------------------------- reading
def test_the_last_entry_that_matches_decides():
    text = entry("operators/*", "skip") + entry("operators/erf/*", "xfail") + entry("*/erf/float64", "pass")
    found = book(text)
    assert [found.expected(f"operators/{each}").outcome for each in ("exp/float32", "erf/float32", "erf/float64")] == [
        "skip", "xfail", "pass"]  # fmt: skip
    assert found.expected("nn/Linear/float32").outcome == "pass"


def test_a_devices_own_table_comes_after_the_top_level():
    text = (
        '[device.abacus.tolerances]\n"reduction:float32" = { rtol = 1, atol = 0 }\n'
        + entry("nn/*", "pass", head="[[device.abacus.expect]]")
        + entry("nn/*", "xfail")
        + '[tolerances]\n"reduction:float32" = { rtol = 0, atol = 0 }\n"pointwise:float32" = { rtol = 0.5, atol = 0 }\n'
        + entry("nn/*", "skip", head='[[device."abacus:1".expect]]')
    )
    expected = {"abacus": "pass", "abacus:1": "skip", "other": "xfail"}
    assert {name: book(text, name).expected("nn/Linear/float32").outcome for name in expected} == expected
    assert book(text).tolerances["reduction:float32"]["rtol"] == 1
    assert book(text).tolerances["pointwise:float32"]["rtol"] == 0.5
    assert book(text, "other").tolerances["reduction:float32"]["rtol"] == 0


@pytest.mark.parametrize("text, place, phrase", [
    ("expect = 3", "expect", "[[expect]]"),
    ("expect = [3]", "expect[1]", "cases, outcome and reason"),
    ("expected = []", "expected", "allowed: device, expect, tolerances"),
    ("[[expect]\n", "", "not TOML"),
    (entry("nn/*/*", "pass") + entry("nn/*/*", "fails"), "expect[2]", "one of pass, xfail, skip, fallback"),
    (entry("nn/*/*", "xfail", ""), "expect[1]", "needs a reason"),
    (entry("nn/*/*", "skip", " "), "expect[1]", "needs a reason"),
    (entry("nn/*", "skip", head="[[device.abacus.expect]]") + "x = 1\n", "device.abacus.expect[1]", "unknown key 'x'"),
    (entry("Linear", "xfail"), "expect[1]", "--list"),
    (entry("operators/erf/*", "fallback"), "expect[1]", 'cases = "primitives/NAME/*"'),
    ('[tolerances]\n"pointwise" = { rtol = 1, atol = 1 }', "tolerances", "for example"),
    ('[tolerances]\n"pointwise:float32" = { rtol = 1 }', "tolerances", "for example"),
    ('[tolerances]\n"pointwise:float32" = { rtol = -1, atol = true }', "tolerances", "for example"),
    ("device = 1", "device", "[device.NAME]"),
], ids=lambda value: "")  # fmt: skip
def test_a_mistake_is_named_with_its_file_its_entry_and_the_next_step(text: str, place: str, phrase: str):
    with pytest.raises(ExpectationError) as caught:
        book(text)
    assert str(FILE) in str(caught.value) and place in str(caught.value) and phrase in str(caught.value)


def test_the_file_lies_beside_the_module_of_the_class():
    import flambeau_numpy

    assert beside(NumpyBackend()) == Path(flambeau_numpy.__file__).resolve().parent / "conformance.toml"


def test_without_a_file_everything_must_pass(tmp_path: Path):
    assert load(tmp_path / "gone.toml", "abacus").expected("nn/Linear/float32").outcome == "pass"
    with pytest.raises(ExpectationError, match="--update-expectations"):
        load(tmp_path / "gone.toml", "abacus", must_exist=True)


# ---------------------------------------------------------------------------------------------- judging
@pytest.mark.parametrize("status", ["fail", "error"])
def test_failures(status: str):
    wrong = outcome(status, message="3 elements differ")
    assert category("", "nn/exp/float32", wrong) == status
    assert category(entry("nn/exp/*", "xfail"), "nn/exp/float32", wrong) == "xfail"
    assert category(entry("nn/exp/*", "pass"), "nn/exp/float32", wrong) == status


@pytest.mark.parametrize("way", ["native", "decomposed", "core"])
def test_a_pass_is_counted_by_the_way_it_ran(way: str):
    assert category("", "nn/exp/float32", outcome(way=way)) == way


def test_an_expected_failure_that_passes_is_a_failure():
    verdict = judge("nn/exp/float32", outcome(), book(entry("nn/*/*", "xfail", "too slow to be true")))
    assert verdict.category == "fail"
    assert "expect[1]" in verdict.message and "too slow to be true" in verdict.message


def test_what_runs_on_the_host_must_be_declared():
    declared = entry("primitives/erf/*", "fallback", "")
    host = outcome(way="fallback", fallbacks=("erf",))
    for case_id in ("primitives/erf/float32", "operators/gelu/float32", "nn/GELU/float32"):
        assert category(declared, case_id, host) == "fallback"
        verdict = judge(case_id, host, book())
        assert verdict.category == "fail" and 'cases = "primitives/erf/*"' in verdict.message
    both = outcome(way="fallback", fallbacks=("erf", "sort"))
    assert category(declared, "nn/GELU/float32", both) == "fail"
    assert category(declared + entry("nn/GELU/*", "xfail"), "nn/GELU/float32", both) == "xfail"
    assert category(declared, "nn/GELU/float32", outcome("fail", "fallback", "no", ("erf",))) == "fail"


def test_a_declared_fallback_that_runs_on_the_device_is_a_failure():
    verdict = judge("primitives/erf/float32", outcome(), book(entry("primitives/erf/*", "fallback")))
    assert verdict.category == "fail" and "runs on the host" in verdict.message


def test_a_declaration_for_one_dtype_leaves_the_others():
    text = entry("primitives/erf/float64", "fallback")
    host = outcome(way="fallback", fallbacks=("erf",))
    assert category(text, "primitives/erf/float64", host) == "fallback"
    assert category(text, "primitives/erf/float32", outcome()) == "native"
    assert category(text, "primitives/erf/float32", host) == "fail"
    assert category(text, "operators/gelu/float64", host) == "fallback"


def test_a_kernel_that_is_excepted_from_a_wide_declaration_must_run():
    text = entry("primitives/*/*", "fallback") + entry("primitives/exp/*", "pass") + entry("primitives/sort/*", "skip")
    for op, way in (("erf", "fallback"), ("sort", "fallback"), ("exp", "fail")):
        assert category(text, "operators/gelu/float32", outcome(way="fallback", fallbacks=(op,))) == way
    assert category(text, "primitives/exp/float32", outcome()) == "native"
    assert category(text, "primitives/exp/float32", outcome(way="fallback", fallbacks=("exp",))) == "fail"


# ---------------------------------------------------------------------------------------------- stale entries
def stale(text: str, device: str = "abacus") -> list[str]:
    return [each.place for each, _ in book(text, device).stale(IDS)]


def test_entries_that_decide_about_nothing_are_stale():
    assert stale(entry("nn/*/*", "xfail") + entry("nn/gone/*", "xfail")) == ["expect[2]"]
    assert stale(entry("nn/erf/*", "xfail") + entry("nn/*", "skip")) == ["expect[1]"]
    assert stale(entry("nn/*", "xfail") + entry("nn/erf/*", "skip")) == []
    assert stale(entry("nn/erf/*", "skip") * 2) == ["expect[1]"]
    hidden = "".join(entry(f"nn/{op}/*", "skip") for op in ("exp", "erf", "sort"))
    assert stale(entry("nn/*", "xfail") + hidden) == ["expect[1]"]


def test_one_that_a_devices_own_table_hides_may_serve_other_devices():
    text = entry("nn/erf/*", "xfail") + entry("nn/*/*", "skip", head="[[device.abacus.expect]]")
    assert stale(text) == [] == stale(text, "other")
    assert stale(entry("nn/gone/*", "skip", head="[[device.abacus.expect]]")) == ["device.abacus.expect[1]"]
    assert stale(entry("nn/gone/*", "skip", head="[[device.abacus.expect]]"), "other") == []


# ---------------------------------------------------------------------------------------------- rewriting
def results(**found: str) -> list[Result]:
    """Results by id, with "__" for the slashes: "pass", "pass:fallback", "crash" or the message of a failure."""
    made = []
    for name, what in found.items():
        result = of_id(name.replace("__", "/"))
        status, _, way = what.partition(":") if what.startswith("pass") else (what, "", "")
        result.status = status if status in ("pass", "crash", "hang") else "fail"
        result.way = way or "native"
        result.message = what
        result.fallbacks = (result.op,) if way == "fallback" else ()
        made.append(result)
    return made


def rewritten(tmp_path: Path, text: str, found: list[Result], device: str = "abacus") -> tuple[str, list[str]]:
    """The file after a run, which must then expect what the run found, and the lines that say what changed."""
    path = tmp_path / "conformance.toml"
    path.write_text(text, encoding="utf-8")
    lines = update(load(path, device), device, IDS, found)
    after = load(path, device)
    assert after.stale(IDS) == []
    for each in found:
        if each.status not in ("crash", "hang"):
            what = Outcome(each.status, each.way, 0, each.message, each.fallbacks)
            assert judge(each.id, what, after).category == verdict_for_update(each.id, what, after).category, each.id
    return path.read_text(encoding="utf-8"), lines


def entries(text: str) -> list[tuple[str, str, str]]:
    return [(each["cases"], each["outcome"], each.get("reason", "")) for each in tomllib.loads(text)["expect"]]


ABOUT = """\
# The abacus.
[tolerances]
"reduction:float32" = { rtol = 1e-3, atol = 0 }  # beads are round

# it has no such bead
[[expect]]
cases = "nn/erf/*"
outcome = "xfail"   # for now
reason = "no such bead"

# it was slow
[[expect]]
cases = "nn/exp/*"
outcome = "xfail"
reason = "slow"

# sorting takes a day
[[expect]]
cases = "nn/sort/*"
outcome = "skip"
reason = "a day"

# the end
"""


def test_what_is_still_true_stays_with_its_comments(tmp_path: Path):
    found = results(nn__erf__float32="no bead", nn__exp__float32="pass", nn__exp__float64="pass")
    found += results(**{"nn__exp__int64[1]": "pass", "operators__exp__float32": 'says "no"\nand more'})
    text, lines = rewritten(tmp_path, ABOUT, found)
    kept = ABOUT[: ABOUT.index("# it was slow")], ABOUT[ABOUT.index("# sorting") : ABOUT.index("# the end")]
    assert text.startswith(kept[0]) and kept[1] in text and "slow" not in text and text.endswith("\n# the end\n")
    assert entries(text)[-1] == ("operators/exp/float32", "xfail", 'says "no"')
    assert any("- nn/exp/*" in line for line in lines) and any("+ operators/exp/float32" in line for line in lines)


def test_nothing_changes_where_nothing_changed(tmp_path: Path):
    text, lines = rewritten(tmp_path, ABOUT, results(nn__erf__float32="no bead", operators__exp__float32="pass"))
    assert text == ABOUT and "no change" in lines[0]


def test_an_operator_whose_cases_all_fail_gets_one_entry(tmp_path: Path):
    found = results(**{f"operators__exp__{each}": "no" for each in ("float32", "float64", "int64[1]")})
    found += results(**{"operators__erf__float32": "no", "operators__erf__int64[1]": "neither"})
    text, _ = rewritten(tmp_path, "", found)
    assert entries(text) == [
        ("operators/exp/*", "xfail", "no"),
        ("operators/erf/float32", "xfail", "no"),
        ("operators/erf/int64[[]1]", "xfail", "neither"),
    ]


def test_an_entry_that_is_partly_wrong_is_narrowed_and_keeps_its_reason(tmp_path: Path):
    text, _ = rewritten(tmp_path, entry("nn/erf/*", "xfail", "old"), results(nn__erf__float32="pass"))
    assert entries(text) == [("nn/erf/float64", "xfail", "old"), ("nn/erf/int64[[]1]", "xfail", "old")]


def test_an_exception_from_a_wider_entry_is_removed_with_what_it_was_for(tmp_path: Path):
    text = entry("nn/*", "xfail", "all") + entry("nn/erf/float32", "pass")
    ids = [case_id for case_id in IDS if case_id.startswith("nn/")]
    after, _ = rewritten(tmp_path, text, results(**{case_id.replace("/", "__"): "no" for case_id in ids}))
    assert entries(after) == [("nn/*", "xfail", "all")]


def test_stale_entries_go(tmp_path: Path):
    text, lines = rewritten(tmp_path, entry("nn/gone/*", "xfail") + ABOUT.partition("\n\n")[2], results())
    assert "gone" not in text and "nn/erf/*" in text and any("- nn/gone/*" in line for line in lines)


def test_what_runs_on_the_host_is_declared_and_no_longer_when_it_does_not(tmp_path: Path):
    everywhere = {f"primitives__erf__{each}": "pass:fallback" for each in ("float32", "float64", "int64[1]")}
    text, _ = rewritten(tmp_path, "", results(**everywhere, nn__erf__float32="pass:fallback"))
    assert entries(text) == [("primitives/erf/*", "fallback", "")]
    text, _ = rewritten(tmp_path, "", results(nn__erf__float32="pass:fallback"))  # the level that owes it was not run
    assert entries(text) == [("primitives/erf/*", "fallback", "")]
    text, _ = rewritten(tmp_path, text, results(**dict.fromkeys(everywhere, "pass")))
    assert "erf" not in text


@pytest.mark.parametrize("status", ["crash", "hang"])
def test_a_crash_is_not_written(tmp_path: Path, status: str):
    text, lines = rewritten(tmp_path, ABOUT, results(operators__exp__float32=status))
    assert text == ABOUT and any("operators/exp/float32" in line and '"skip"' in line for line in lines)


def test_where_several_devices_share_a_file_only_ones_own_table_changes(tmp_path: Path):
    text = entry("nn/erf/*", "xfail") + entry("nn/exp/*", "skip", head="[[device.other.expect]]")
    found = results(**{f"nn__erf__{each}": "pass" for each in ("float32", "float64", "int64[1]")})
    after, _ = rewritten(tmp_path, text, [*found, *results(operators__exp__float32="no")])
    assert after.startswith(text)
    own = tomllib.loads(after)["device"]["abacus"]["expect"]
    assert [(each["cases"], each["outcome"]) for each in own] == [
        ("operators/exp/float32", "xfail"), ("nn/erf/*", "pass")]  # fmt: skip
    again, _ = rewritten(tmp_path, after, results(nn__erf__float32="no", operators__exp__float32="pass"))
    assert again.startswith(text) and "operators" not in again


def test_a_file_in_a_form_that_cannot_be_edited_is_left_alone(tmp_path: Path):
    text = 'expect = [{ cases = "nn/erf/*", outcome = "xfail", reason = "so" }]\n'
    with pytest.raises(ExpectationError, match=r"\[\[expect\]\]"):
        rewritten(tmp_path, text, results(nn__erf__float32="pass"))
    assert (tmp_path / "conformance.toml").read_text(encoding="utf-8") == text


def test_a_new_file_says_what_it_is(tmp_path: Path):
    path = tmp_path / "conformance.toml"
    assert "no change" in update(load(path, "abacus"), "abacus", IDS, results(nn__erf__float32="pass"))[0]
    assert not path.exists()
    update(load(path, "abacus"), "abacus", IDS, results(nn__erf__float32="no"))
    assert path.read_text(encoding="utf-8").startswith("# ") and load(path, "abacus").stale(IDS) == []


def test_a_literal_pattern_matches_itself_only():
    found = Book(entries=book(entry(literal("nn/a*b/x[1]?"), "skip")).entries)
    assert found.expected("nn/a*b/x[1]?").outcome == "skip"
    assert found.expected("nn/aab/x[1]?").outcome == found.expected("nn/a*b/x1?").outcome == "pass"


# ---------------------------------------------------------------------------------------------- results
def test_a_result_survives_the_way_between_processes():
    what = Outcome("fail", "fallback", 0.25, "one\ntwo", ("erf", "sort"), "torch 2", 3, frozenset({"mul", "add"}))
    found = book(entry("nn/*/*", "xfail", "why not"))
    result = filled(of_id("nn/erf/float32"), what, judge("nn/erf/float32", what, found), found.entries[0])
    again = read([("of somebody else", 1), *json.loads(json.dumps(result.properties()))])
    assert again == result and again.category == "xfail" and again.kernels == ("add", "mul")
    assert read([("of somebody else", 1)]) is None
    assert json.loads(json.dumps(again.as_dict()))["fallbacks"] == ["erf", "sort"]
