mod guards;
mod policy;
mod properties;
mod real_names;
mod text;

use super::{Mined, Options, mine};
use crate::path::FilePath;

pub(super) fn paths<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Vec<FilePath> {
    texts
        .into_iter()
        .map(|text| FilePath::canonical(text.as_ref().as_bytes()))
        .collect()
}

/// The templates that are mined, as text.
pub(super) fn templates(mined: &Mined) -> Vec<String> {
    mined.templates.iter().map(|found| found.template.to_string()).collect()
}

pub(super) fn mined_from<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> (Vec<String>, Vec<String>) {
    let paths = paths(texts);
    let mined = mine(&paths, &Options::default());
    let rest = mined.paths.iter().map(|path| path.to_text()).collect();
    (templates(&mined), rest)
}
