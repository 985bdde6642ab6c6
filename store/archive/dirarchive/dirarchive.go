// Package dirarchive is an archive in a local directory, for use with the embedded store.
//
// An object is a file. Its path is its key, escaped where a file system could not hold the key
// (name.go has the rule). The file is written under another name and synced before it gets its own,
// by a hard link where it must be new. So an object is whole or not there, whatever dies when. Any
// number of processes on one machine may use one directory at once. File systems without hard links
// or locks do not work, and [Archive.Check] says so.
package dirarchive

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"

	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
)

// What lies in the root next to the objects.
const (
	lockFile = ".lock"
	tempDir  = ".tmp"
)

// Archive is an [archive.Archive] in a directory.
type Archive struct {
	dir  string
	root *os.Root
}

var _ archive.Archive = (*Archive)(nil)

// Open opens the archive in dir, makes dir if it is not there, and removes what crashed writers
// have left. The caller closes the archive.
func Open(dir string) (*Archive, error) {
	if err := makeRoot(dir); err != nil {
		return nil, fmt.Errorf("open archive: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open archive: %w", err)
	}
	a := &Archive{dir: dir, root: root}
	if err := a.sweep(); err != nil {
		return nil, errors.Join(fmt.Errorf("open archive %s: %w", dir, err), root.Close())
	}
	return a, nil
}

// Close closes the directory. Calls that are under way, and later calls, fail.
func (a *Archive) Close() error { return a.root.Close() }

// Create implements [archive.Archive].
func (a *Archive) Create(ctx context.Context, key string, body io.Reader) (archive.Object, error) {
	if err := archive.ValidateKey(key); err != nil {
		return archive.Object{}, err
	}
	if there, err := a.stat(key); err == nil { // so body need not be read
		return archive.Object{}, &archive.ExistsError{Object: there}
	}
	temp, err := a.writeTemp(ctx, body)
	if err != nil {
		return archive.Object{}, a.failed("create", key, err)
	}
	defer temp.remove()
	if err := a.place(temp, key, a.root.Link); err != nil {
		if errors.Is(err, fs.ErrExist) {
			there, _ := a.stat(key)
			there.Key = key
			return archive.Object{}, &archive.ExistsError{Object: there}
		}
		return archive.Object{}, a.failed("create", key, err)
	}
	return temp.object(key), nil
}

// Replace implements [archive.Archive].
func (a *Archive) Replace(ctx context.Context, key, etag string, data []byte) (archive.Object, error) {
	fail := func(err error) (archive.Object, error) { return archive.Object{}, a.failed("replace", key, err) }
	if err := archive.ValidateKey(key); err != nil {
		return archive.Object{}, err
	}
	if err := archive.ValidateReplace(data); err != nil {
		return fail(err)
	}
	temp, err := a.writeTemp(ctx, bytes.NewReader(data))
	if err != nil {
		return fail(err)
	}
	defer temp.remove()
	unlock, err := a.lock(ctx)
	if err != nil {
		return fail(err)
	}
	defer unlock()
	there, err := a.etag(key)
	if err != nil {
		return fail(err)
	}
	if there != etag {
		return fail(archive.ErrPrecondition)
	}
	give := a.root.Rename
	if etag == "" {
		give = a.root.Link
	}
	if err := a.place(temp, key, give); err != nil {
		if errors.Is(err, fs.ErrExist) {
			err = archive.ErrPrecondition
		}
		return fail(err)
	}
	return temp.object(key), nil
}

// etag returns the ETag of the object under key, "" if there is none.
func (a *Archive) etag(key string) (string, error) {
	r, object, err := a.open(key)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	if object.ETag == "" {
		object.ETag = "too large to be replaced"
	}
	return object.ETag, r.Close()
}

// Open implements [archive.Archive].
func (a *Archive) Open(ctx context.Context, key string) (io.ReadCloser, archive.Object, error) {
	if err := archive.ValidateKey(key); err != nil {
		return nil, archive.Object{}, err
	}
	if err := ctx.Err(); err != nil {
		return nil, archive.Object{}, a.failed("open", key, err)
	}
	r, object, err := a.open(key)
	if err != nil {
		return nil, archive.Object{}, a.failed("open", key, err)
	}
	return &reader{ctx: ctx, r: r, left: object.Size, key: key}, object, nil
}

// open reads a small object whole: the ETag is the hash of the content.
func (a *Archive) open(key string) (io.ReadCloser, archive.Object, error) {
	file, err := a.root.Open(path.Join(filePath(key)...))
	if err != nil {
		return nil, archive.Object{}, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fs.ErrNotExist
	}
	if err != nil {
		return nil, archive.Object{}, errors.Join(err, file.Close())
	}
	object := archive.Object{Key: key, Size: info.Size(), ModifiedAt: info.ModTime()}
	if object.Size > archive.MaxReplace {
		return file, object, nil
	}
	data, err := io.ReadAll(io.LimitReader(file, archive.MaxReplace))
	if err := errors.Join(err, file.Close()); err != nil {
		return nil, archive.Object{}, err
	}
	sum := sha256.Sum256(data)
	object.ETag = hex.EncodeToString(sum[:])
	return io.NopCloser(bytes.NewReader(data)), object, nil
}

func (a *Archive) stat(key string) (archive.Object, error) {
	info, err := a.root.Stat(path.Join(filePath(key)...))
	if err != nil {
		return archive.Object{}, err
	}
	return archive.Object{Key: key, Size: info.Size(), ModifiedAt: info.ModTime()}, nil
}

// reader fails if the file ends before its size, as a damaged file does.
type reader struct {
	ctx  context.Context
	r    io.ReadCloser
	left int64
	key  string
}

func (r *reader) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, fmt.Errorf("read %s: %w", r.key, context.Cause(r.ctx))
	}
	n, err := r.r.Read(p)
	r.left -= int64(n)
	if err == io.EOF && r.left > 0 {
		err = fmt.Errorf("read %s: %w: %w", r.key, store.ErrUnavailable, io.ErrUnexpectedEOF)
	}
	return n, err
}

func (r *reader) Close() error { return r.r.Close() }

// Delete implements [archive.Archive].
func (a *Archive) Delete(ctx context.Context, key string) error {
	if err := archive.ValidateKey(key); err != nil {
		return err
	}
	unlock, err := a.lock(ctx) // without it, a Replace that has seen the object might bring it back
	if err != nil {
		return a.failed("delete", key, err)
	}
	defer unlock()
	file := path.Join(filePath(key)...)
	if err := a.root.Remove(file); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return a.failed("delete", key, err)
	}
	dir := path.Dir(file)
	for dir != "." && a.root.Remove(dir) == nil { // until one is not empty
		dir = path.Dir(dir)
	}
	if err := a.syncDir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return a.failed("delete", key, err)
	}
	return nil
}

// Check implements [archive.Archive].
func (a *Archive) Check(ctx context.Context) error {
	if err := archive.CheckConditions(ctx, a, nil); err != nil {
		return fmt.Errorf("check archive %s: %w", a.dir, err)
	}
	return nil
}

func (a *Archive) failed(what, key string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: %w", store.ErrNotFound, err)
		if _, statErr := os.Stat(a.dir); statErr != nil {
			err = fmt.Errorf("%w: %w", archive.ErrNoArchive, statErr)
		}
	}
	return fmt.Errorf("%s %s in archive %s: %w", what, key, a.dir, err)
}
