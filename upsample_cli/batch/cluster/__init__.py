"""Images on a Dask cluster. Only this package imports Dask."""
