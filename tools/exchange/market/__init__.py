"""A trading day that passes for a real one: prices, order flow and rules of a market, on the books
of the matching engine.

`profiles` instruments · `scenario` what happens on a day · `placing` when, and to whom, where the
seed decides · `relations` of prices · `tables` laws that numbers are drawn from · `paths` activity
and volatility over the day · `layout` memory · `heap` what is due when · `prices` fair values ·
`orders` the flow of orders · `auctions` crosses · `rules` phases, halts, bands · `plants` what
patterns are to find · `day` the next message · `trouble` of the lines · `truth`, `planted` what
happened
"""
