package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/internal/kinds"
	"github.com/milepost-dev/milepost/internal/places"
	"github.com/milepost-dev/milepost/store/archive"
	"github.com/milepost-dev/milepost/store/archive/dirarchive"
	"github.com/milepost-dev/milepost/store/archive/s3archive"
)

// openArchive is an archive and where it is.
type openArchive struct {
	archive.Archive // nil: no archive
	url             places.Archive
	closing         func()
}

func (o *openArchive) close() {
	if o.closing != nil {
		o.closing()
	}
}

// in returns a namespace of the store, with its archive.
func (s *openStore) in(namespace string) checkpoint.Namespace {
	return checkpoint.Namespace{Store: s.Store, Archive: s.archive.Archive, Name: namespace, Mirror: s.archive.url.Mirror}
}

// storeOnly returns a namespace of the store, without its archive.
func (s *openStore) storeOnly(namespace string) checkpoint.Namespace {
	ns := s.in(namespace)
	ns.Archive = nil
	return ns
}

// must returns an error unless there is an archive.
func (o *openArchive) must() error {
	if o.Archive == nil {
		return kinds.Usagef("there is no archive: name it with --archive or MILEPOST_ARCHIVE, as s3://BUCKET/PREFIX or file:DIR")
	}
	return nil
}

// openArchive opens the archive that the user named, or the directory next to the default store,
// whose path is defaultFile. Any other store has no archive by default.
func (a *app) openArchive(ctx context.Context, mode openMode, defaultFile string) (openArchive, error) {
	text := a.archiveText
	if text == "" {
		text = a.getenv("MILEPOST_ARCHIVE")
	}
	if text == "" && defaultFile == "" {
		return openArchive{}, nil
	}
	if text == "" {
		u := places.Archive{Dir: filepath.Join(filepath.Dir(defaultFile), "archive")}
		if mode&makesArchive == 0 {
			_, err := os.Stat(u.Dir)
			if errors.Is(err, fs.ErrNotExist) {
				return openArchive{url: u}, nil // nothing was ever archived
			}
			if err != nil {
				return openArchive{}, fmt.Errorf("look for the archive: %w", err)
			}
		}
		return openDirectory(u)
	}
	u, err := places.ParseArchive(text)
	switch {
	case err != nil:
		return openArchive{}, kinds.Usage(err)
	case u.None():
		return openArchive{}, nil
	case u.Bucket != "":
		return openBucket(ctx, u)
	}
	if _, err := os.Stat(u.Dir); mode&makesArchive == 0 && errors.Is(err, os.ErrNotExist) {
		return openArchive{}, fmt.Errorf("open archive %s: %w: there is no such directory\nto make it, run milepost archive sync, or a first milepost batch",
			u, archive.ErrNoArchive)
	}
	return openDirectory(u)
}

func openDirectory(u places.Archive) (openArchive, error) {
	path, err := filepath.Abs(u.Dir)
	if err != nil {
		return openArchive{}, err
	}
	u.Dir = path
	dir, err := dirarchive.Open(path)
	if err != nil {
		return openArchive{}, err
	}
	return openArchive{Archive: dir, url: u, closing: func() { _ = dir.Close() }}, nil
}

func openBucket(ctx context.Context, u places.Archive) (openArchive, error) {
	settings, err := awsSettings(ctx, u.Region, u.Profile)
	if err != nil {
		return openArchive{}, err
	}
	switch {
	case settings.Region == "" && u.Endpoint == "":
		return openArchive{}, kinds.Usagef("archive %s: the region is not set: add ?region=…, or set AWS_REGION", u)
	case settings.Region == "":
		settings.Region = "us-east-1" // servers other than AWS accept any region
	}
	u.Region = settings.Region
	client := s3.NewFromConfig(settings, func(o *s3.Options) {
		if u.Endpoint != "" {
			o.BaseEndpoint = aws.String(u.Endpoint)
		}
		// An endpoint may be set by the environment as well.
		o.UsePathStyle = u.PathStyle || o.BaseEndpoint != nil && u.Endpoint == ""
	})
	bucket, err := s3archive.New(client, u.Bucket, u.Prefix, nil)
	if err != nil {
		return openArchive{}, kinds.Usage(err)
	}
	return openArchive{Archive: bucket, url: u}, nil
}
