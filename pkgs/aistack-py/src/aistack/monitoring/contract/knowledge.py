"""Metrics of the knowledge base: search and the indexer."""

from aistack.monitoring.contract.spec import CounterSpec, GaugeSpec, Label, Part

SEARCHES = CounterSpec(
    "aidb_searches_total",
    "Searches by the way that was used",
    (Label("mode", ("lexical", "dense", "hybrid")),),
)
INDEXED = CounterSpec("aidb_indexed_documents_total", "Documents brought to the index")
INDEX_FAILURES = CounterSpec("aidb_index_failures_total", "Documents that failed to index")
INDEXER_ERRORS = CounterSpec("aidb_indexer_errors_total", "Rounds of the indexer that failed")
PENDING = GaugeSpec(
    "aidb_outbox_pending",
    "Documents that wait for the index",
    when="of the service whose worker indexes",
    # Only the worker that holds the indexer's lock sets it; another may take over.
    of_workers="mostrecent",
)

PART = Part(
    "Knowledge base",
    "Of the service that is scraped. The indexer works in one process at a time, of all services.",
    (SEARCHES, INDEXED, INDEX_FAILURES, INDEXER_ERRORS, PENDING),
)
