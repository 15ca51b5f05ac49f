"""Where things are, for the scenarios and their fixtures."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
INFRA = ROOT / "infra"
FIXTURES = ROOT / "tests" / "fixtures"
BOOTSTRAP = ROOT / "target" / "debug" / "bootstrap"
CLI = ROOT / "target" / "debug" / "stillpoint"
AGENT = ROOT / "target" / "debug" / "stillpoint-agent"
STATE = ROOT / "target" / "scenarios"
