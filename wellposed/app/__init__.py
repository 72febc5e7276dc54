"""The application: files in and out, preprocessing, plots, the report and the command line."""
