"""What kind of market a symbol is, by its name: for counting, nothing is decided by it."""

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
    name = symbol.upper()
    if name.startswith(_METALS):
        return METAL
    if name.startswith(_COINS):
        return CRYPTO
    pair = name.replace("/", "").replace("_", "").replace("-", "")
    return FOREX if pair[:3] in _CURRENCIES and pair[3:6] in _CURRENCIES else OTHER
