//! Long lists, some objects at a time: neither we nor the API server then hold all of them at once.

use kube::api::{ListParams, ObjectList};

/// How many objects are listed with one question.
const OBJECTS_AT_A_TIME: u32 = 500;

/// Lists objects with `list`, as often as there are more of them, and hands over each.
///
/// # Errors
/// What the API server says: also that a list took so long that it does not know where it was (410).
pub async fn for_each<T: Clone>(
    parameters: ListParams,
    list: impl AsyncFn(&ListParams) -> kube::Result<ObjectList<T>>,
    mut each: impl FnMut(T),
) -> kube::Result<()> {
    let mut page = parameters.limit(OBJECTS_AT_A_TIME);
    loop {
        let listed = list(&page).await?;
        listed.items.into_iter().for_each(&mut each);
        match listed.metadata.continue_.filter(|next| !next.is_empty()) {
            Some(next) => page = page.continue_token(&next),
            None => return Ok(()),
        }
    }
}
