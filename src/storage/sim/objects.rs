//! An object store in memory whose operations fail as those of the [`Disk`] do. What it has taken
//! is durable, as on S3 or on a local directory with syncs; an operation that fails may have been
//! done all the same.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use base::rng::Rng;
use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt as _, PutMultipartOptions, PutOptions, PutPayload, PutResult,
    Result, UploadPart,
};
use parking_lot::Mutex;

use super::disk::{Disk, Verdict};
use super::support::wait;
use crate::object::open::OpenedStore;

/// The store and the disk that decides about it.
#[derive(Clone, Debug)]
pub(crate) struct ObjectsInMemory {
    inner: Arc<InMemory>,
    disk: Arc<Mutex<Disk>>,
}

fn broken() -> Error {
    Error::Generic { store: "memory", source: "input/output error".into() }
}

/// What is done with an operation.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Done,
    DoneAndFailed,
    Failed,
}

fn fate(disk: &Mutex<Disk>, bytes: usize) -> Fate {
    let mut disk = disk.lock();
    let was_dead = disk.is_dead;
    let verdict = disk.step();
    if was_dead || !disk.take_room(bytes as u64) {
        return Fate::Failed;
    }
    match verdict {
        Verdict::Fine => Fate::Done,
        Verdict::Fails if disk.has_effect() => Fate::DoneAndFailed,
        Verdict::Fails => Fate::Failed,
    }
}

impl ObjectsInMemory {
    /// An empty store.
    pub(crate) fn new(disk: Arc<Mutex<Disk>>) -> Self {
        Self { inner: Arc::new(InMemory::new()), disk }
    }

    /// The store as the engine takes it.
    pub(crate) fn opened(&self) -> OpenedStore {
        OpenedStore { store: Arc::new(self.clone()), local_root: None, is_immediate: true }
    }

    /// Changes one bit of an object; its name. `None` when there is no byte.
    pub(crate) fn rot(&self, rng: &mut Rng) -> Option<(Path, usize)> {
        wait(async {
            let mut all: Vec<ObjectMeta> = self.inner.list(None).try_collect().await.ok()?;
            all.retain(|meta| meta.size > 0);
            all.sort_by(|a, b| a.location.cmp(&b.location));
            let path = all.get(rng.below(all.len() as u64) as usize)?.location.clone();
            let mut bytes = self.inner.get(&path).await.ok()?.bytes().await.ok()?.to_vec();
            let at = rng.below(bytes.len() as u64) as usize;
            bytes[at] ^= 1 << rng.below(8);
            self.inner.put(&path, bytes.into()).await.ok()?;
            Some((path, at))
        })
    }
}

impl fmt::Display for ObjectsInMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("memory")
    }
}

#[async_trait]
impl ObjectStore for ObjectsInMemory {
    async fn put_opts(
        &self,
        at: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let fate = fate(&self.disk, payload.content_length());
        if fate == Fate::Failed {
            return Err(broken());
        }
        let done = self.inner.put_opts(at, payload, options).await;
        if fate == Fate::Done { done } else { Err(broken()) }
    }

    async fn put_multipart_opts(
        &self,
        at: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        if fate(&self.disk, 0) != Fate::Done {
            return Err(broken());
        }
        let inner = self.inner.put_multipart_opts(at, options).await?;
        Ok(Box::new(Parts { inner, disk: self.disk.clone() }))
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        if fate(&self.disk, 0) != Fate::Done {
            return Err(broken());
        }
        self.inner.get_opts(at, options).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let (inner, disk) = (self.inner.clone(), self.disk.clone());
        paths
            .then(move |path| {
                let (inner, disk) = (inner.clone(), disk.clone());
                async move {
                    let path = path?;
                    let fate = fate(&disk, 0);
                    if fate != Fate::Failed {
                        inner.delete(&path).await?;
                    }
                    if fate == Fate::Done { Ok(path) } else { Err(broken()) }
                }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        if fate(&self.disk, 0) != Fate::Done {
            return futures::stream::once(async { Err(broken()) }).boxed();
        }
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

/// An upload whose every step the disk decides about.
#[derive(Debug)]
struct Parts {
    inner: Box<dyn MultipartUpload>,
    disk: Arc<Mutex<Disk>>,
}

#[async_trait]
impl MultipartUpload for Parts {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        if fate(&self.disk, data.content_length()) == Fate::Done {
            return self.inner.put_part(data);
        }
        Box::pin(async { Err(broken()) })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let fate = fate(&self.disk, 0);
        if fate == Fate::Failed {
            return Err(broken());
        }
        let done = self.inner.complete().await;
        if fate == Fate::Done { done } else { Err(broken()) }
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.abort().await
    }
}
