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

// openMode says what is made if it is not there.
type openMode int

const (
	makesStore   openMode = 1 << iota // an SQLite file; a DynamoDB table is made by table create alone
	makesArchive                      // a directory

	mustExist openMode = 0
	mayCreate          = makesStore | makesArchive
)

// openStore is a store and what is known of it beside the protocol, with the archive that
// belongs to it.
type openStore struct {
	store.Store
	archive openArchive
	url     places.Store
	dynamo  *dynamostore.Store // nil: the store is another
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
		s, err = openSQLite(ctx, u, mode, isDefault)
	} else {
		s, err = openDynamo(ctx, u)
	}
	if err != nil {
		return nil, err
	}
	beside := ""
	if isDefault {
		beside = u.Path
	}
	if s.archive, err = a.openArchive(ctx, mode, beside); err != nil {
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

// storeURL is what --store or MILEPOST_STORE name, or the default.
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
		return u, true, kinds.Usagef("this runs on %s, where the default store, a local file, would vanish with the run: "+
			"name one with --store or MILEPOST_STORE, such as dynamodb://milepost", service)
	}
	path, err := machine.DefaultFile()
	if err != nil {
		return u, true, kinds.Usage(err)
	}
	if machine.IsContainerWithoutVolume(path) {
		a.say("warning: this looks like a container, and %s is on no volume: it vanishes with the container. Mount one, or name a store with --store", filepath.Dir(path))
	}
	return places.Store{Path: path}, true, nil
}

func openSQLite(ctx context.Context, u places.Store, mode openMode, isDefault bool) (*openStore, error) {
	file, err := sqlitestore.Open(ctx, u.Path, &sqlitestore.Options{CreateDir: isDefault, MustExist: mode&makesStore == 0})
	if err != nil {
		if errors.Is(err, store.ErrNoTable) {
			return nil, fmt.Errorf("%w\nthe first milepost batch makes it, and milepost table create does", err)
		}
		return nil, err
	}
	u.Path = file.Path()
	return &openStore{Store: file, url: u, closing: func() { _ = file.Close() }}, nil
}

func openDynamo(ctx context.Context, u places.Store) (*openStore, error) {
	settings, err := awsSettings(ctx, u.Region, u.Profile)
	if err != nil {
		return nil, err
	}
	if settings.Region == "" {
		return nil, kinds.Usagef("store %s: no region is known: add ?region=…, or set AWS_REGION", u)
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

// hostname is for messages; an unknown one is no reason to fail.
func hostname() string {
	name, _ := os.Hostname()
	return name
}
