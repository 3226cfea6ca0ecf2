"""Under which name a broker's symbol is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class SymbolNames:
    """`feed.symbol_map`, which goes first, and `feed.symbol_suffixes`."""

    suffixes: tuple[str, ...] = ()
    mapped: Mapping[str, str] = field(default_factory=dict)

    @property
    def plain(self) -> bool:
        """Whether each symbol is kept under its own name."""
        return not (self.suffixes or self.mapped)

    def canonical(self, symbol: str) -> str:
        """The name under which a broker's symbol is kept (`EURUSD.r` -> `EURUSD`)."""
        if self.mapped and symbol in self.mapped:
            return self.mapped[symbol]
        for suffix in self.suffixes:
            if symbol.endswith(suffix) and len(symbol) > len(suffix):
                return symbol[: -len(suffix)]
        return symbol

    def holds(self, symbol: object) -> bool:
        """Whether ticks may come to what is kept under this name, as it is mapped now."""
        if not isinstance(symbol, str) or symbol in self.mapped.values():
            return True
        return self.canonical(symbol) == symbol
