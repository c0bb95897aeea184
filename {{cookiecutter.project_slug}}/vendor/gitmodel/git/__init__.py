"""Git and DVC: commits, former versions, where the table is kept."""
