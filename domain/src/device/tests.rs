//! Given/when/then tables and properties of the Device aggregate.
