//! Documents in, documents out: whole files or none.

use std::fs::{self, File, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use baselines::document::{self, DocumentError, Image};
use baselines::risks::Decisions;
use tempfile::NamedTempFile;

use crate::error::Error;
use crate::policy::Input;

/// Every baseline document of a folder (files that end in `.yaml`), sorted by image.
///
/// # Errors
/// [`Error`] where the folder or one of the documents cannot be read, or there is none.
pub fn read_baselines(folder: &Path) -> Result<Vec<Input>, Error> {
    let cannot_list = || Error::file("list", folder, "name a folder that `generate baselines --out` wrote");
    let entries = fs::read_dir(folder).map_err(cannot_list())?;
    let paths = entries
        .map(|entry| entry.map(|it| it.path()))
        .collect::<io::Result<Vec<_>>>()
        .map_err(cannot_list())?;
    let mut documents: Vec<PathBuf> = paths
        .into_iter()
        .filter(|path| path.extension().is_some_and(|it| it == "yaml") && !is_decisions(path))
        .collect();
    if documents.is_empty() {
        return Err(Error::NoDocuments {
            folder: folder.to_owned(),
        });
    }
    // The first that cannot be read is the same one every time.
    documents.sort();
    let mut inputs = documents
        .iter()
        .map(|path| read_baseline(path))
        .collect::<Result<Vec<_>, _>>()?;
    let decisions = decisions(folder, inputs.iter().map(|input| &input.baseline.image))?;
    for (input, decisions) in inputs.iter_mut().zip(decisions) {
        input.decisions = decisions;
    }
    inputs.sort_by(|left, right| left.baseline.image.cmp(&right.baseline.image));
    Ok(inputs)
}

/// One baseline document, with the decisions of its folder.
///
/// # Errors
/// [`Error`] where it or decisions cannot be read.
pub fn read_one_baseline(path: &Path) -> Result<Input, Error> {
    let mut input = read_baseline(path)?;
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    input.decisions = decisions(folder, [&input.baseline.image].into_iter())?.pop().flatten();
    Ok(input)
}

/// Whether a file is a recording, by the bytes that each `SQLite` file begins with (<https://sqlite.org/fileformat.html>, 1.3.1).
///
/// # Errors
/// [`Error`] where it cannot be read.
pub fn is_recording(path: &Path) -> Result<bool, Error> {
    const MAGIC: &[u8] = b"SQLite format 3\0";
    // What `profile export` writes.
    const PARQUET: &[u8] = b"PAR1";
    const HELP: &str = "name a baseline document, a folder of them, or a recording";
    let metadata = fs::metadata(path).map_err(Error::file("look at", path, HELP))?;
    // A FIFO would block.
    if !metadata.is_file() {
        return Ok(false);
    }
    let mut start = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAGIC.len() as u64).read_to_end(&mut start))
        .map_err(Error::file("read", path, HELP))?;
    Ok(start == MAGIC || start.starts_with(PARQUET))
}

/// What the decisions about an image are called: where its digest is known, whatever its tag is.
pub fn decisions_name(image: &Image) -> String {
    format!("{}{DECISIONS}", document::file_name(&untagged(image)))
}

/// An image by its digest, if it has one; else by its tag.
fn untagged(image: &Image) -> Image {
    let tag = image.tag.clone().filter(|_| image.digest.is_none());
    Image { tag, ..image.clone() }
}

/// No baseline is called so: behind a `+` there are hexadecimal digits.
const DECISIONS: &str = "+decisions.yaml";

fn is_decisions(path: &Path) -> bool {
    path.to_str().is_some_and(|name| name.ends_with(DECISIONS))
}

/// The decisions about an image that are kept in a folder, if there are any.
///
/// # Errors
/// [`Error`] where they cannot be read, or are about another image.
fn read_decisions(folder: &Path, image: &Image) -> Result<Option<Decisions>, Error> {
    let path = &folder.join(decisions_name(image));
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        // A FIFO would block, and a device never end.
        Ok(metadata) if !metadata.is_file() => {
            let error = io::Error::other("it is no regular file");
            return Err(Error::file("read", path, "the decisions about an image are kept there")(error));
        }
        // Reading it tells what is wrong.
        _ => {}
    }
    let decisions = Decisions::read(path)?;
    if untagged(&decisions.image) != untagged(image) {
        return Err(Error::OtherImage {
            file: path.to_owned(),
            image: decisions.image.to_string(),
        });
    }
    Ok(Some(decisions))
}

/// For each image what was decided about it and about other versions of it, as a folder keeps it; nothing if there is no such
/// folder.
///
/// # Errors
/// [`Error`] where decisions cannot be read, or are about another image than their file's name says.
pub fn decisions<'a>(folder: &Path, images: impl Iterator<Item = &'a Image>) -> Result<Vec<Option<Decisions>>, Error> {
    let earlier = if folder.exists() {
        all_decisions(folder)?
    } else {
        Vec::new()
    };
    images
        .map(|image| Ok(inherited(read_decisions(folder, image)?, image, &earlier)))
        .collect()
}

/// All decisions of a folder, those that were made last first.
fn all_decisions(folder: &Path) -> Result<Vec<Decisions>, Error> {
    let cannot_list = || Error::file("list", folder, "name a folder that `generate baselines --out` wrote");
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).map_err(cannot_list())? {
        let path = entry.map_err(cannot_list())?.path();
        // What has the name of an image's decisions is read as such where that image is, and complained of there.
        if is_decisions(&path) && path.is_file() {
            all.push(Decisions::read(&path)?);
        }
    }
    let last = |decisions: &Decisions| decisions.iter().map(|(_, decision)| decision.when).max();
    all.sort_by_key(|decisions| std::cmp::Reverse((last(decisions), decisions.image.to_string())));
    Ok(all)
}

/// What was decided about an image, and what was decided about other versions of it and not about this one.
fn inherited(own: Option<Decisions>, image: &Image, earlier: &[Decisions]) -> Option<Decisions> {
    let mut decisions = own.unwrap_or_else(|| Decisions::new(image.clone()));
    let is_version = |other: &&Decisions| other.image.repository == image.repository;
    for other in earlier.iter().filter(is_version) {
        // It refuses those of other repositories only.
        decisions.inherit(other).unwrap_or_default();
    }
    let is_empty = decisions.iter().next().is_none();
    (!is_empty).then_some(decisions)
}

/// Not [`document::read`], because the hash is of the very bytes that were read.
fn read_baseline(path: &Path) -> Result<Input, Error> {
    const HELP: &str = "every .yaml file of the folder is read: move away what is no baseline";
    // A FIFO would block, and a device never end.
    if !fs::metadata(path)
        .map_err(Error::file("look at", path, HELP))?
        .is_file()
    {
        return Err(Error::file("read", path, HELP)(io::Error::other(
            "it is no regular file",
        )));
    }
    let mut text = String::new();
    // One byte more than may be, so that `from_yaml` can tell.
    let limit = document::SIZE_MAX.saturating_add(1);
    File::open(path)
        .and_then(|file| file.take(limit).read_to_string(&mut text))
        .map_err(Error::file("read", path, HELP))?;
    let baseline = document::from_yaml(&text).map_err(|error| match error {
        DocumentError::Invalid { line, column, what, .. } => DocumentError::Invalid {
            file: Some(path.to_owned()),
            line,
            column,
            what,
        },
        DocumentError::TooLarge { .. } => DocumentError::TooLarge {
            file: Some(path.to_owned()),
        },
        other => other,
    })?;
    Ok(Input::new(baseline, text.as_bytes()))
}

/// A file to be written.
#[derive(Debug)]
pub struct Output<'a> {
    /// Its name in the folder.
    pub name: String,
    /// All of it.
    pub content: &'a str,
}

/// Writes all files into a folder, which is made if it is missing. Other files in it are left alone.
///
/// All content is on disk, under temporary names, before the first file gets its name: a full disk leaves the folder as
/// it was. Each file is replaced whole.
///
/// # Errors
/// [`Error`] where a target is no regular file, or the operating system refuses.
pub fn write_all(folder: &Path, outputs: &[Output<'_>]) -> Result<(), Error> {
    const HELP: &str = "choose a folder that this user may write to, with enough space, with --out";
    fs::create_dir_all(folder).map_err(Error::file("make the folder", folder, HELP))?;
    for output in outputs {
        refuse_unless_ours(&folder.join(&output.name))?;
    }
    let staged = outputs
        .iter()
        .map(|output| {
            let target = folder.join(&output.name);
            stage(folder, output.content)
                .map(|file| (file, target.clone()))
                .map_err(Error::file("write", &target, HELP))
        })
        .collect::<Result<Vec<_>, Error>>()?;
    for (file, target) in staged {
        file.persist(&target)
            .map_err(|refused| Error::file("write", &target, HELP)(refused.error))?;
    }
    // The names are part of the folder's own content.
    File::open(folder)
        .and_then(|it| it.sync_all())
        .map_err(Error::file("flush the folder", folder, HELP))
}

/// Writes one file, whole, into a folder that is made if it is missing. A file that is there is replaced only if it begins as
/// `ours` does: somebody may have named another one.
///
/// # Errors
/// [`Error`] where the target is something else, or the operating system refuses.
pub fn write_one(target: &Path, content: &str, ours: &str) -> Result<(), Error> {
    const HELP: &str = "choose a place that this user may write to, with enough space";
    let refused = |what| Error::Target {
        path: target.to_owned(),
        what,
    };
    let folder = match target.parent() {
        None => return Err(refused("a directory")),
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
    };
    fs::create_dir_all(folder).map_err(Error::file("make the folder", folder, HELP))?;
    refuse_unless_ours(target)?;
    match File::open(target) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(Error::file("look at", target, HELP)(error)),
        Ok(file) => {
            let mut begin = Vec::new();
            file.take(ours.len() as u64)
                .read_to_end(&mut begin)
                .map_err(Error::file("look at", target, HELP))?;
            if begin != ours.as_bytes() {
                return Err(refused("another file, not one that this command wrote"));
            }
        }
    }
    let staged = stage(folder, content).map_err(Error::file("write", target, HELP))?;
    staged
        .persist(target)
        .map_err(|refused| Error::file("write", target, HELP)(refused.error))?;
    // The name is part of the folder's own content.
    File::open(folder)
        .and_then(|it| it.sync_all())
        .map_err(Error::file("flush the folder", folder, HELP))
}

/// The content in a temporary file beside its target, on disk, with the permissions that a new file would have.
fn stage(folder: &Path, content: &str) -> io::Result<NamedTempFile> {
    let mut file = tempfile::Builder::new()
        .prefix(".generate-")
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(folder)?;
    file.write_all(content.as_bytes())?;
    file.as_file().sync_all()?;
    Ok(file)
}

/// A rename would replace a symbolic link instead of what it points to, and make a device a file: rather nothing at all.
fn refuse_unless_ours(target: &Path) -> Result<(), Error> {
    let refused = |what| {
        Err(Error::Target {
            path: target.to_owned(),
            what,
        })
    };
    match fs::symlink_metadata(target) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::file("look at", target, "choose another folder with --out")(
            error,
        )),
        Ok(metadata) if metadata.is_symlink() => refused("a symbolic link"),
        Ok(metadata) if metadata.is_dir() => refused("a directory"),
        Ok(metadata) if metadata.is_file() => Ok(()),
        Ok(_) => refused("no regular file"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output<'a>(name: &str, content: &'a str) -> Output<'a> {
        Output {
            name: name.to_owned(),
            content,
        }
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|it| it.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn files_are_replaced_and_others_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("out/deep");
        write_all(&target, &[output("a", "1"), output("b", "2")]).unwrap();
        fs::write(target.join("other"), "theirs").unwrap();
        write_all(&target, &[output("a", "3")]).unwrap();
        assert_eq!(names(&target), ["a", "b", "other"]);
        let contents = ["a", "b", "other"].map(|name| fs::read_to_string(target.join(name)).unwrap());
        assert_eq!(contents, ["3", "2", "theirs"]);
    }

    #[test]
    fn nothing_is_written_if_one_target_is_not_ours_to_replace() {
        let folder = tempfile::tempdir().unwrap();
        let secret = folder.path().join("secret");
        fs::write(&secret, "theirs").unwrap();
        let out = folder.path().join("out");
        fs::create_dir_all(out.join("directory")).unwrap();
        std::os::unix::fs::symlink(&secret, out.join("link")).unwrap();
        std::os::unix::net::UnixListener::bind(out.join("socket")).unwrap();
        for name in ["directory", "link", "socket"] {
            let error = write_all(&out, &[output("a", "1"), output(name, "2")]).unwrap_err();
            assert!(matches!(error, Error::Target { .. }), "{error}");
            assert_eq!(names(&out), ["directory", "link", "socket"]);
        }
        assert_eq!(fs::read_to_string(&secret).unwrap(), "theirs");
    }

    #[test]
    fn one_file_is_replaced_only_if_it_is_ours() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("deep/report.html");
        for content in ["ours: 1", "ours: 2"] {
            write_one(&target, content, "ours").unwrap();
            assert_eq!(fs::read_to_string(&target).unwrap(), content);
        }
        for theirs in ["", "our", "theirs: 3"] {
            fs::write(&target, theirs).unwrap();
            let error = write_one(&target, "ours: 4", "ours").unwrap_err();
            assert!(matches!(error, Error::Target { .. }), "{error}");
            assert_eq!(fs::read_to_string(&target).unwrap(), theirs);
        }
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&target, &link).unwrap();
        for refused in [&link, folder.path(), Path::new("/")] {
            assert!(write_one(refused, "ours: 5", "ours").is_err());
        }
        assert_eq!(names(&folder.path().join("deep")), ["report.html"]);
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(matches!(write_all(&file, &[output("a", "1")]), Err(Error::File { .. })));
    }

    #[test]
    fn folders_without_baselines_and_files_that_are_none_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(read_baselines(folder.path()), Err(Error::NoDocuments { .. })));
        assert!(matches!(
            read_baselines(&folder.path().join("missing")),
            Err(Error::File { .. })
        ));
        fs::write(folder.path().join("notes.txt"), "no document").unwrap();
        assert!(matches!(read_baselines(folder.path()), Err(Error::NoDocuments { .. })));
        fs::create_dir(folder.path().join("folder.yaml")).unwrap();
        assert!(matches!(read_baselines(folder.path()), Err(Error::File { .. })));
        fs::remove_dir(folder.path().join("folder.yaml")).unwrap();
        fs::write(folder.path().join("policy.yaml"), "kind: TracingPolicy").unwrap();
        let error = read_baselines(folder.path()).unwrap_err();
        assert!(
            matches!(error, Error::Document(_)) && error.to_string().contains("policy.yaml:1:"),
            "{error}"
        );
    }
}
