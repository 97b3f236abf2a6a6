"""Ways to get an order from a client to a MES, ours and others', as processes of their own.

``python -m orderkeep.bench.pipelines.NAME api|consumer SETUP`` runs one half of a pipeline. Peers
run in an environment that holds them and not us: what they import of ours needs nothing else.
"""
