"""Who was there: presence as the SFU saw it, the verdict, and the settlement that follows from it."""
