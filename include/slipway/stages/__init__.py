"""The stages between the rooms: what each Airflow task of a line calls, free of Airflow."""
