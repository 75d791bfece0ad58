"""A gate's result as JUnit XML. Computes nothing; a verdict that JUnit does not know is shown as skipped, with its name."""

import xml.etree.ElementTree as ET  # writes only

from reports.gate.decision import Verdict
from reports.gate.result import Result
from reports.gate.show.gate_texts import headline, slowdown_text, why
from reports.text.plain_text import plain

ELEMENTS = {
    Verdict.REGRESSION: "failure",
    Verdict.ERROR: "error",
    Verdict.INCONCLUSIVE: "skipped",
    Verdict.NEW: "skipped",
    Verdict.SKIPPED: "skipped",
}


def gate_junit(result: Result) -> str:
    """Return one test case for each benchmark, and one for the gate where it could not be held."""
    suite = ET.Element("testsuite", name="performance gate")
    for row in result.rows:
        case = ET.SubElement(suite, "testcase", classname=plain(row.model), name=plain(row.step), time=f"{row.took_s:.3f}")
        if row.quantities:
            kept = ET.SubElement(case, "properties")
            for each in row.quantities:
                for side, value in (("base", each.base), ("head", each.head)):
                    ET.SubElement(kept, "property", name=f"{each.name.replace(' ', '_')}_{each.unit}.{side}", value=f"{value:.15g}")
        _add_outcome(case, row.judged.verdict, why(row))
        if row.pairs:
            ET.SubElement(case, "system-out").text = plain(f"head's time {slowdown_text(row.judged)}; {why(row)}", 2000)
    if result.error is not None:
        _add_outcome(ET.SubElement(suite, "testcase", classname="gate", name="gate", time="0"), Verdict.ERROR, result.error)
    suite.set("tests", str(len(suite)))
    for counter, element in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(counter, str(len(suite.findall(f"testcase/{element}"))))
    suite.set("time", f"{result.took_s:.3f}")
    properties = ET.Element("properties")
    ET.SubElement(properties, "property", name="verdict", value=plain(headline(result)))
    suite.insert(0, properties)
    ET.indent(suite)
    return ET.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _add_outcome(case: ET.Element, verdict: Verdict, reason: str) -> None:
    if verdict in ELEMENTS:
        ET.SubElement(case, ELEMENTS[verdict], message=plain(f"{verdict}: {reason}", 2000))
