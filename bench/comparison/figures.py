"""What was measured: a figure for each server and round, and what kept one from being had."""

from typing import NamedTuple, Optional

from .summary import Summary, summarize


# Measures of several rows.
GROUP_TITLES = {
    "idle": "Memory per idle connection, user and kernel",
    "certificates": "Certificates at scale: start, reload, memory",
}


class Figure:
    """One row of the report: the same figure of all servers. Less is better in every one of them."""

    def __init__(self, ident: str, group: str, title: str, unit: str, note: str = ""):
        self.ident = ident
        self.group = group  # The measure that it belongs to.
        self.title = title
        self.unit = unit
        self.note = note
        self.rounds: dict[str, list[dict]] = {}  # By server: {"value": ..., and what else was seen}.
        self.trouble: dict[str, str] = {}
        self.left_out: dict[str, str] = {}  # Servers that this cannot be asked of, and why.

    def add(self, server: str, value: float, **seen) -> None:
        self.rounds.setdefault(server, []).append({"value": value, **seen})

    def fail(self, server: str, reason: str) -> None:
        self.trouble[server] = reason

    def summary(self, server: str, key: str = "value") -> Optional[Summary]:
        """None also for a server that failed in one round: what it did in others is no figure of this measure."""
        if server in self.trouble:
            return None
        return summarize([one[key] for one in self.rounds.get(server, []) if one.get(key) is not None])

    def to_json(self) -> dict:
        results: dict[str, dict] = {}
        for server in {**self.rounds, **self.trouble}:
            result = {"rounds": self.rounds.get(server, [])}
            if found := self.summary(server):
                result |= {"median": found.median, "min": found.low, "max": found.high}
            if server in self.trouble:
                result["trouble"] = self.trouble[server]
            results[server] = result
        return {"id": self.ident, "group": self.group, "title": self.title, "unit": self.unit,
                "note": self.note, "left_out": self.left_out, "results": results}

    @classmethod
    def from_json(cls, data: dict) -> "Figure":
        figure = cls(data["id"], data["group"], data["title"], data["unit"], data.get("note", ""))
        figure.left_out = dict(data.get("left_out", {}))
        for server, result in data["results"].items():
            if result["rounds"]:
                figure.rounds[server] = result["rounds"]
            if "trouble" in result:
                figure.trouble[server] = result["trouble"]
        return figure


class Settings(NamedTuple):
    """How much is measured."""
    rounds: int
    seconds: float  # Of each round of each server.
    idle_connections: int
    certificates: tuple[int, ...]
    bulk_bytes: int


STANDARD = Settings(rounds=5, seconds=2, idle_connections=4000, certificates=(1, 1000, 10_000),
                    bulk_bytes=256 << 20)
FULL = STANDARD._replace(certificates=(1, 1000, 10_000, 100_000))
QUICK = Settings(rounds=1, seconds=0.5, idle_connections=200, certificates=(1, 100), bulk_bytes=16 << 20)
