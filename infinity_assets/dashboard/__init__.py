"""The dashboard over the last snapshot: Streamlit in an environment of its own, over Parquet alone."""
