//! Whether a window that goes on has seen enough, looked at now and then.
//!
//! To analyse a recording takes memory and time with what is in it, and what a damaged one does to an analysis nobody knows. The
//! recorder is bounded in both and must go on, so another process looks, as `profile look-at-coverage`: it has less of the
//! processors and less memory than it may want, and it is left behind where it takes too long. A look that fails is a warning.
//!
//! | file | question it answers |
//! |---|---|
//! | `look` | What does such a process find out, and how is it started? |
//! | `story` | What is there to say after a look, and is it enough? |
//! | `summaries` | What does a node tell a cluster of its recording? |

mod look;
mod story;
mod summaries;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use baselines::coverage::Criteria;

pub use self::look::{ImageCoverage, Look, MEMORY_MAX, MEMORY_OF_AGENT_MAX, become_modest, of_open_window};
pub use self::story::News;
#[cfg(test)]
pub(crate) use self::summaries::pack;
pub use self::summaries::{Told, of_recording, unpack};

/// After a look comes a pause of at least so many times as long as it took: looking takes a tenth of one processor at most.
const PAUSE: u32 = 9;

/// What a recording of this node has to tell the cluster.
///
/// # Errors
/// Why that cannot be told, in words.
pub async fn ask_for_summaries(recording: &std::path::Path) -> Result<Told, String> {
    look::ask(look::command_for_summaries(recording), look::TIME_MAX).await
}

/// Where to look, for what, and how often.
#[derive(Clone, Debug)]
pub struct Looks {
    /// The recording that the window goes into.
    pub recording: PathBuf,
    /// What it takes.
    pub criteria: Criteria,
    /// The shortest pause between two looks, and before the first.
    pub every: Duration,
}

impl Looks {
    /// Looks until every image that the window saw is ready. What there is to say after each look is told.
    pub async fn until_ready(&self, tell: impl Fn(News)) {
        let mut story = story::Story::default();
        let mut pause = self.every;
        loop {
            tokio::time::sleep(pause).await;
            let started = Instant::now();
            let looked = look::ask(look::command(&self.recording, &self.criteria), look::TIME_MAX).await;
            pause = self.every.max(started.elapsed() * PAUSE);
            let news = story.after(looked);
            let is_over = news.is_over;
            tell(news);
            if is_over {
                return;
            }
        }
    }
}
