//! An import of what an agent sees from now on.

use std::path::Path;
use std::time::Duration;

use baselines::recording::EndReason;

use super::display::Display;
use super::give_up;
use crate::commands::start::ended;
use crate::commands::{runtime, say};
use crate::error::Failure;
use crate::import::error::ImportError;
use crate::import::tetragon::Importer;
use crate::import::tetragon::stream::Events;
use crate::import::tetragon::summary::Summary;

/// How often what was counted is written: the most that a crash can cost.
const WRITE_EVERY: Duration = Duration::from_secs(2);

/// Takes in events until the time is over, a signal comes, or the agent ends it.
///
/// # Errors
/// [`ImportError::Agent`] where there is none, [`ImportError::Ended`] where it went away.
pub(super) fn follow(
    mut importer: Importer,
    socket: &Path,
    duration: Option<Duration>,
    quiet: bool,
) -> Result<Summary, Failure> {
    importer.names(format!("the agent at {}", socket.display()));
    let mut display = Display::new(quiet, 0);
    let learning = format!(
        "learning from the agent at {}; Ctrl-C ends the window",
        socket.display()
    );
    let result = runtime()?.block_on(async {
        let events = Events::from(socket).await?;
        let end = ended(duration, || say(quiet, &learning));
        receive(&mut importer, events, end, &mut display).await
    });
    display.clear();
    match result {
        Ok(EndReason::Failed(why)) => {
            let events = importer.lines();
            let socket = socket.to_owned();
            if events == 0 {
                return Err(ImportError::Agent { socket, why }.into());
            }
            if let Err(second) = importer.end(&EndReason::Failed(why.clone())) {
                tracing::warn!(%second, "the window could not be ended");
            }
            Err(ImportError::Ended { socket, events, why }.into())
        }
        Ok(reason) => importer.end(&reason),
        Err(failure) => Err(give_up(importer, failure)),
    }
}

async fn receive(
    importer: &mut Importer,
    mut events: Events,
    end: impl Future<Output = EndReason>,
    display: &mut Display,
) -> Result<EndReason, Failure> {
    let mut end = std::pin::pin!(end);
    let mut write = tokio::time::interval(WRITE_EVERY);
    loop {
        tokio::select! {
            reason = &mut end => return Ok(reason),
            _ = write.tick() => {
                importer.write()?;
                display.show(importer.lines(), 0);
            }
            // While an event is taken in, no more are read than the connection's window holds: the agent waits, or drops.
            received = events.next() => match received {
                Ok(Some(event)) => importer.message(&event)?,
                Ok(None) => return Ok(EndReason::Failed("the agent ended the stream".to_owned())),
                Err(why) => return Ok(EndReason::Failed(why)),
            },
        }
    }
}
