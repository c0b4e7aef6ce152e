//! The operator hears of trouble by mail: thresholds (pure) and a sender of its own that needs no store.
