//! Documents in, documents out: whole files or none.

use std::fs::{self, File, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use baselines::document;
use tempfile::NamedTempFile;

use crate::error::Error;
use crate::policy::Input;

/// Every baseline document of a folder (files that end in `.yaml`), sorted by file name.
///
/// # Errors
/// [`Error`] where the folder or one of the documents cannot be read, or there is none.
pub fn read_baselines(folder: &Path) -> Result<Vec<Input>, Error> {
    let cannot_list = || Error::file("list", folder, "name a folder that `generate baselines --out` wrote");
    let entries = fs::read_dir(folder).map_err(cannot_list())?;
    let paths = entries.map(|entry| entry.map(|it| it.path())).collect::<io::Result<Vec<_>>>().map_err(cannot_list())?;
    let mut documents: Vec<PathBuf> =
        paths.into_iter().filter(|path| path.extension().is_some_and(|it| it == "yaml")).collect();
    if documents.is_empty() {
        return Err(Error::NoDocuments { folder: folder.to_owned() });
    }
    documents.sort();
    documents.iter().map(|path| read_baseline(path)).collect()
}

fn read_baseline(path: &Path) -> Result<Input, Error> {
    const HELP: &str = "every .yaml file of the folder is read: move away what is no baseline";
    let unusable = |source: Box<dyn std::error::Error + Send + Sync>, help: String| Error::Document {
        path: path.to_owned(),
        source,
        help,
    };
    let cannot_read = || Error::file("read", path, HELP);
    // A FIFO would block, and a device never end.
    if !fs::metadata(path).map_err(cannot_read())?.is_file() {
        return Err(unusable("it is no regular file".into(), HELP.to_owned()));
    }
    let mut text = String::new();
    let limited = File::open(path).map_err(cannot_read())?.take(document::SIZE_MAX.saturating_add(1));
    let mut limited = io::BufReader::new(limited);
    limited.read_to_string(&mut text).map_err(cannot_read())?;
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > document::SIZE_MAX {
        let problem = format!("it has more than {} bytes", document::SIZE_MAX);
        return Err(unusable(problem.into(), "a baseline is never that large: was it edited?".to_owned()));
    }
    let baseline = document::from_yaml(&text).map_err(|error| {
        let help = miette::Diagnostic::help(&error).map_or_else(|| HELP.to_owned(), |help| help.to_string());
        unusable(Box::new(error), help)
    })?;
    Ok(Input::new(baseline, text.as_bytes()))
}

/// A file to be written.
#[derive(Debug)]
pub struct Output {
    /// Its name in the folder.
    pub name: String,
    /// All of it.
    pub content: String,
}

/// Writes all files into a folder, which is made if it is missing. Other files in it are left alone.
///
/// All content is on disk, under temporary names, before the first file gets its name: a full disk leaves the folder as
/// it was. Each file is replaced whole.
///
/// # Errors
/// [`Error`] where a target is no regular file, or the operating system refuses.
pub fn write_all(folder: &Path, outputs: &[Output]) -> Result<(), Error> {
    const HELP: &str = "choose a folder that this user may write to, with enough space, with --out";
    fs::create_dir_all(folder).map_err(Error::file("make the folder", folder, HELP))?;
    for output in outputs {
        refuse_unless_ours(&folder.join(&output.name))?;
    }
    let staged = outputs
        .iter()
        .map(|output| {
            let target = folder.join(&output.name);
            stage(folder, &output.content).map(|file| (file, target.clone())).map_err(Error::file("write", &target, HELP))
        })
        .collect::<Result<Vec<_>, Error>>()?;
    for (file, target) in staged {
        file.persist(&target).map_err(|refused| Error::file("write", &target, HELP)(refused.error))?;
    }
    // The names are part of the folder's own content.
    File::open(folder).and_then(|it| it.sync_all()).map_err(Error::file("flush the folder", folder, HELP))
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
    let refused = |what| Err(Error::Target { path: target.to_owned(), what });
    match fs::symlink_metadata(target) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::file("look at", target, "choose another folder with --out")(error)),
        Ok(metadata) if metadata.is_symlink() => refused("a symbolic link"),
        Ok(metadata) if metadata.is_dir() => refused("a directory"),
        Ok(metadata) if metadata.is_file() => Ok(()),
        Ok(_) => refused("no regular file"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(name: &str, content: &str) -> Output {
        Output { name: name.to_owned(), content: content.to_owned() }
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
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
        assert!(matches!(read_baselines(&folder.path().join("missing")), Err(Error::File { .. })));
        fs::write(folder.path().join("notes.txt"), "no document").unwrap();
        assert!(matches!(read_baselines(folder.path()), Err(Error::NoDocuments { .. })));
        fs::create_dir(folder.path().join("folder.yaml")).unwrap();
        assert!(matches!(read_baselines(folder.path()), Err(Error::Document { .. })));
    }
}
