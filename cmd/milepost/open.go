package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/milepost-dev/milepost/internal/human"
	"github.com/milepost-dev/milepost/internal/kinds"
	"github.com/milepost-dev/milepost/internal/places"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/dynamostore"
	"github.com/milepost-dev/milepost/store/sqlitestore"
)

// openMode says what open makes if it does not exist.
type openMode int

const (
	makesStore   openMode = 1 << iota // an SQLite file; only table create makes a DynamoDB table
	makesArchive                      // a directory
	takesEmpty                        // an SQLite file of zero bytes

	mustExist openMode = 0
	mayCreate          = makesStore | makesArchive
)

// openStore is an open store with the archive that belongs to it, and what the command knows about
// the store.
type openStore struct {
	store.Store
	archive openArchive
	url     places.Store
	dynamo  *dynamostore.Store // nil: another engine
	client  *dynamodb.Client
	closing func()
}

func (s *openStore) close() {
	s.archive.close()
	s.closing()
}

// open opens the store that the user named, or the default one.
func (a *app) open(ctx context.Context, mode openMode) (*openStore, error) {
	u, isDefault, err := a.storeURL()
	if err != nil {
		return nil, err
	}
	var s *openStore
	if u.Path != "" {
		s, err = a.openSQLite(ctx, u, mode, isDefault)
	} else {
		s, err = openDynamo(ctx, u)
	}
	if err != nil {
		return nil, err
	}
	defaultFile := ""
	if isDefault {
		defaultFile = u.Path
	}
	if s.archive, err = a.openArchive(ctx, mode, defaultFile); err != nil {
		s.closing()
		return nil, err
	}
	a.telemetry.count(ctx, s.url)
	if a.verbose {
		a.say("store %s", s.url)
		a.say("archive %s", s.archive.url)
		closing := s.closing
		s.closing = func() {
			if s.dynamo != nil {
				c := s.dynamo.Cost()
				a.say("cost %s requests, %.1f write units, %.1f read units", human.Thousands(c.Requests), c.WriteUnits, c.ReadUnits)
			}
			closing()
		}
	}
	return s, nil
}

// storeURL returns the store that --store or MILEPOST_STORE names, or the default store.
func (a *app) storeURL() (u places.Store, isDefault bool, err error) {
	text := a.storeText
	if text == "" {
		text = a.getenv("MILEPOST_STORE")
	}
	if text != "" {
		if u, err = places.ParseStore(text); err != nil {
			return u, false, kinds.Usage(err)
		}
		return u, false, nil
	}
	machine := places.ThisMachine(a.getenv)
	if service := machine.Fleeting(); service != "" {
		return u, true, kinds.Usagef("this runs on %s, where the default store, a local file, would be lost when the run ends: "+
			"name one with --store or MILEPOST_STORE, such as dynamodb://milepost", service)
	}
	path, err := machine.DefaultFile()
	if err != nil {
		return u, true, kinds.Usage(err)
	}
	if machine.IsContainerWithoutVolume(path) {
		a.say("warning: this looks like a container, and %s is not on a volume: it will be lost with the container. Mount a volume, or name a store with --store", filepath.Dir(path))
	}
	return places.Store{Path: path}, true, nil
}

func (a *app) openSQLite(ctx context.Context, u places.Store, mode openMode, isDefault bool) (*openStore, error) {
	file, err := sqlitestore.Open(ctx, u.Path, &sqlitestore.Options{
		Private: isDefault, MustExist: mode&makesStore == 0, AllowEmpty: mode&takesEmpty != 0,
	})
	if err != nil {
		if errors.Is(err, store.ErrNoTable) {
			return nil, fmt.Errorf("%w\nto make it, run milepost table create, or a first milepost batch", err)
		}
		return nil, err
	}
	u.Path = file.Path()
	for _, w := range file.Warnings() {
		a.say("warning: store %s: %s", u, w)
	}
	return &openStore{Store: file, url: u, closing: func() {
		if err := file.Close(); err != nil {
			a.say("warning: %v", err)
		}
	}}, nil
}

func openDynamo(ctx context.Context, u places.Store) (*openStore, error) {
	settings, err := awsSettings(ctx, u.Region, u.Profile)
	if err != nil {
		return nil, err
	}
	if settings.Region == "" {
		return nil, kinds.Usagef("store %s: the region is not set: add ?region=…, or set AWS_REGION", u)
	}
	u.Region = settings.Region
	service := dynamodb.NewFromConfig(settings, func(o *dynamodb.Options) {
		if u.Endpoint != "" {
			o.BaseEndpoint = aws.String(u.Endpoint)
		}
	})
	table := dynamostore.New(service, u.Table)
	return &openStore{Store: table, url: u, dynamo: table, client: service, closing: func() {}}, nil
}

// hostname returns the host's name, for messages. An unknown name is not an error.
func hostname() string {
	name, _ := os.Hostname()
	return name
}
