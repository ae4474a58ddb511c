//! Two stores while firmware moves: uploads go to the new one, and objects that aren't there yet are read from the old one.
//!
//! Objects may be in both at any moment, because a copy runs. So each removal and each renaming is done in both: first in the old one, then in
//! the new one. In the other order the copy could bring an object to the new store after its removal there and find it still in the old one.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path as ObjectPath;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};

/// A new store and an old one; clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Moving {
    pub(crate) new: Arc<dyn ObjectStore>,
    pub(crate) old: Arc<dyn ObjectStore>,
}

impl fmt::Display for Moving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (before: {})", self.new, self.old)
    }
}

/// The outcome of what was done in both stores. A store without the object doesn't count, unless neither has it.
fn in_both(in_old: Result<()>, in_new: Result<()>) -> Result<()> {
    match (in_old, in_new) {
        (Err(Error::NotFound { .. }), outcome) | (outcome, Err(Error::NotFound { .. })) => outcome,
        (Ok(()), outcome) => outcome,
        (Err(error), _) => Err(error),
    }
}

impl Moving {
    async fn delete_one(&self, path: ObjectPath) -> Result<ObjectPath> {
        let in_old = self.old.delete(&path).await;
        in_both(in_old, self.new.delete(&path).await).map(|()| path)
    }
}

#[async_trait]
impl ObjectStore for Moving {
    async fn put_opts(&self, to: &ObjectPath, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.new.put_opts(to, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        to: &ObjectPath,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.new.put_multipart_opts(to, options).await
    }

    async fn get_opts(&self, from: &ObjectPath, options: GetOptions) -> Result<GetResult> {
        match self.new.get_opts(from, options.clone()).await {
            Err(Error::NotFound { .. }) => self.old.get_opts(from, options).await,
            found => found,
        }
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<ObjectPath>>) -> BoxStream<'static, Result<ObjectPath>> {
        let both = self.clone();
        paths
            .and_then(move |path| {
                let both = both.clone();
                async move { both.delete_one(path).await }
            })
            .boxed()
    }

    /// Objects that are in both stores come twice.
    fn list(&self, prefix: Option<&ObjectPath>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.new.list(prefix).chain(self.old.list(prefix)).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&ObjectPath>) -> Result<ListResult> {
        let mut listed = self.new.list_with_delimiter(prefix).await?;
        let in_old = self.old.list_with_delimiter(prefix).await?;
        listed.objects.extend(in_old.objects);
        listed.common_prefixes.extend(in_old.common_prefixes);
        Ok(listed)
    }

    async fn copy_opts(&self, from: &ObjectPath, to: &ObjectPath, options: CopyOptions) -> Result<()> {
        let in_old = self.old.copy_opts(from, to, options.clone()).await;
        in_both(in_old, self.new.copy_opts(from, to, options).await)
    }

    async fn rename_opts(&self, from: &ObjectPath, to: &ObjectPath, options: RenameOptions) -> Result<()> {
        let in_old = self.old.rename_opts(from, to, options.clone()).await;
        in_both(in_old, self.new.rename_opts(from, to, options).await)
    }
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;
    use crate::hooked::Hooked;

    async fn names(store: &dyn ObjectStore) -> Vec<String> {
        let mut found: Vec<_> =
            store.list(None).map_ok(|object| object.location.to_string()).try_collect().await.unwrap();
        found.sort();
        found
    }

    #[tokio::test]
    async fn what_is_in_either_store_is_read_moved_and_deleted() {
        let both = Moving { new: Arc::new(InMemory::new()), old: Arc::new(InMemory::new()) };
        let path = |name: &str| ObjectPath::from(name);
        both.put(&path("new"), "new".into()).await.unwrap();
        both.old.put(&path("old"), "old".into()).await.unwrap();
        both.old.put(&path("both"), "first".into()).await.unwrap();
        both.put(&path("both"), "second".into()).await.unwrap();
        let read = async |name: &str| both.get(&path(name)).await.unwrap().bytes().await.unwrap();
        assert_eq!(
            (read("new").await, read("old").await, read("both").await),
            ("new".into(), "old".into(), "second".into())
        );
        assert!(matches!(both.get(&path("neither")).await, Err(Error::NotFound { .. })));
        for name in ["new", "old", "both"] {
            both.rename(&path(name), &path(&format!("{name}-2"))).await.unwrap();
            assert!(matches!(both.head(&path(name)).await, Err(Error::NotFound { .. })), "{name}");
        }
        assert_eq!(names(both.new.as_ref()).await, ["both-2", "new-2"]);
        assert_eq!(names(both.old.as_ref()).await, ["both-2", "old-2"]);
        for name in ["new-2", "old-2", "both-2"] {
            both.delete(&path(name)).await.unwrap();
        }
        assert_eq!(names(&both).await, [""; 0]);
        assert!(matches!(both.rename(&path("x"), &path("y")).await, Err(Error::NotFound { .. })));
    }

    #[tokio::test]
    async fn an_object_that_a_copy_brings_meanwhile_is_renamed_and_deleted_too() {
        let (new, old) = (Arc::new(InMemory::new()), Arc::new(InMemory::new()));
        let (first, second) = (ObjectPath::from("a"), ObjectPath::from("b"));
        let brought = (Arc::clone(&new), first.clone());
        let hooked = Hooked::new(&old, move |_| {
            let (new, path) = brought.clone();
            Box::pin(async move { drop(new.put(&path, "bytes".into()).await) })
        });
        let both = Moving { new: new.clone(), old: hooked };
        old.put(&first, "bytes".into()).await.unwrap();
        both.rename(&first, &second).await.unwrap();
        assert_eq!(names(&new).await, ["b"]);
        assert_eq!(names(&old).await, ["b"]);
        old.put(&first, "bytes".into()).await.unwrap();
        both.delete(&first).await.unwrap();
        assert_eq!(names(&new).await, ["b"]);
        assert_eq!(names(&old).await, ["b"]);
    }

    #[test]
    fn a_store_that_fails_is_not_taken_for_one_without_the_object() {
        let away = || Err(Error::Generic { store: "away", source: "away".into() });
        let absent = || Err(Error::NotFound { path: "a".to_owned(), source: "absent".into() });
        for outcomes in [(away(), absent()), (absent(), away()), (away(), Ok(())), (Ok(()), away())] {
            assert!(matches!(in_both(outcomes.0, outcomes.1), Err(Error::Generic { .. })));
        }
        assert!(in_both(absent(), Ok(())).is_ok() && in_both(Ok(()), absent()).is_ok());
        assert!(matches!(in_both(absent(), absent()), Err(Error::NotFound { .. })));
    }
}
