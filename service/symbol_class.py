"""What kind of market a symbol is, by its name: for counting and weighing, never for scoring."""

from __future__ import annotations

FOREX, METAL, CRYPTO, OTHER = CLASSES = "forex", "metal", "crypto", "other"

_CURRENCIES = frozenset(
    (
        *("AUD", "BRL", "CAD", "CHF", "CNH", "CNY", "CZK", "DKK", "EUR", "GBP", "HKD", "HUF"),
        *("ILS", "INR", "JPY", "KRW", "MXN", "NOK", "NZD", "PLN", "RUB", "SEK", "SGD", "THB"),
        *("TRY", "USD", "ZAR"),
    )
)
_METALS = ("XAU", "XAG", "XPT", "XPD", "GOLD", "SILVER")
_COINS = (
    *("BTC", "XBT", "ETH", "LTC", "XRP", "BCH", "ADA", "DOT", "SOL", "BNB", "DOGE", "AVAX"),
    *("LINK", "MATIC", "TRX", "XLM", "UNI", "ATOM", "ETC", "EOS", "XMR", "DASH"),
)


def symbol_class(symbol: str) -> str:
    """`forex`, `metal`, `crypto` or `other`: EURUSD.r is forex, BTCUSDT crypto."""
    name = bare(symbol)
    if name.startswith(_METALS):
        return METAL
    if name.startswith(_COINS):
        return CRYPTO
    return FOREX if legs(symbol) else OTHER


def bare(symbol: str) -> str:
    """The name in capitals without what brokers put between the parts of a pair."""
    return symbol.upper().replace("/", "").replace("_", "").replace("-", "")


def legs(symbol: str) -> frozenset[str]:
    """The two currencies of a pair, none where it is no pair: eur/usd.r has EUR and USD."""
    name = bare(symbol)
    pair = frozenset((name[:3], name[3:6]))
    return pair if pair <= _CURRENCIES else frozenset()
