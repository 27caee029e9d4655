//! `generate report`.

use std::ffi::OsString;

use baselines::document::Baseline;
use baselines::time::UtcTime;

use super::{Told, inputs, risks};
use crate::error::Error;
use crate::evidence::counted;
use crate::report::{DecisionsRead, HEAD, Image, html};
use crate::risks::Risks;
use crate::{cli, files, printable};

/// Runs `generate report`. `variable` is the value of [`cli::RECORDING_VARIABLE`].
///
/// # Errors
/// [`Error`] where something cannot be read, drawn or written.
pub fn report(arguments: &cli::Report, variable: Option<OsString>) -> Result<Told, Error> {
    let (catalogue, now) = (risks::catalogue(&arguments.catalogue)?, UtcTime::now());
    let inputs = inputs(
        arguments.baselines.as_deref(),
        &arguments.recordings,
        variable,
        &arguments.coverage.criteria(),
    )?;
    let (read, warnings) = match &arguments.baselines {
        Some(_) => (DecisionsRead::Yes, Vec::new()),
        None => (DecisionsRead::No, vec![risks::NOT_READ.to_owned()]),
    };
    let images: Vec<(Baseline, Risks)> = inputs
        .into_iter()
        .map(|input| {
            let risks = Risks::of(&input.baseline, &catalogue, input.decisions);
            (input.baseline, risks)
        })
        .collect();
    let images: Vec<Image<'_>> = images
        .iter()
        .map(|(baseline, risks)| Image { baseline, risks })
        .collect();
    let open: usize = images.iter().map(|image| image.risks.open(image.baseline, now)).sum();
    files::write_one(&arguments.html, &html(&images, &catalogue, read, now)?, HEAD)?;
    let told = format!(
        "{}: {}, {} to decide about\n",
        printable(&arguments.html.display().to_string()),
        counted(images.len(), "image"),
        counted(open, "risk")
    );
    Ok(Told {
        listing: if arguments.quiet { String::new() } else { told },
        warnings,
        differs: false,
    })
}
