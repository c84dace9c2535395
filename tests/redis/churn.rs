//! A day of churn leaves nothing without an owner.
