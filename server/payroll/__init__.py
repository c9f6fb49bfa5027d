"""What mentors have earned, closed once a month into payslips and paid out in the ledger."""
