//! The command side over a log in memory, through the router.
