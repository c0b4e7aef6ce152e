//! What the alerts remember between two runs, in one small file beside the store: when what was told, and the last digest's day.
//!
//! Replaced as a whole, so that it is either the old or the new. One that can't be read is begun anew: better told twice than not at all.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::Path,
};

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::Limiter;

const VERSION: u32 = 1;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    version: u32,
    pub limiter: Limiter,
    /// The local day of the last digest.
    pub digest: Option<Date>,
}

impl Default for State {
    fn default() -> State {
        State { version: VERSION, limiter: Limiter::default(), digest: None }
    }
}

impl State {
    pub fn load(path: &Path) -> State {
        let read = fs::read(path).map(|bytes| serde_json::from_slice::<State>(&bytes));
        match read {
            Ok(Ok(state)) if state.version == VERSION => state,
            Ok(Ok(state)) => forgotten(path, &format!("it is of version {}", state.version)),
            Ok(Err(error)) => forgotten(path, &error),
            Err(error) if error.kind() == io::ErrorKind::NotFound => State::default(),
            Err(error) => forgotten(path, &error),
        }
    }

    pub fn save(&self, path: &Path) -> io::Result<()> {
        let new = path.with_extension("json.new");
        let mut file = File::create(&new)?;
        file.write_all(&serde_json::to_vec(self).map_err(io::Error::other)?)?;
        file.sync_all()?;
        fs::rename(new, path)
    }
}

fn forgotten(path: &Path, why: &dyn std::fmt::Display) -> State {
    tracing::warn!(path = %path.display(), %why, "what the alerts remembered can't be read; begun anew");
    State::default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::Kind;

    #[test]
    fn kept_between_runs_and_begun_anew_when_spoilt() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("alert.json");
        assert_eq!(State::load(&path), State::default());
        let mut state = State { digest: Some(jiff::civil::date(2026, 11, 23)), ..State::default() };
        state.limiter.happened(Kind::Store, 1, "2026-11-23T08:00:00Z".parse().unwrap());
        state.save(&path).unwrap();
        state.save(&path).unwrap();
        assert_eq!(State::load(&path), state);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left over");
        fs::write(&path, "{\"version\":1,\"limi").unwrap();
        assert_eq!(State::load(&path), State::default());
    }
}
