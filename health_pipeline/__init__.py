"""health_pipeline: daily, trustworthy customer-health tables from an application's own database."""
