package consul

import (
	"context"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/divisi-go/divisi/discover"
	"github.com/divisi-go/divisi/discover/announce"
	"github.com/divisi-go/divisi/discover/discovertest"
)

// entry is a key of a store.
type entry struct {
	kv  *api.KV
	key string
}

func (e entry) Put(value string) error {
	_, err := e.kv.Put(&api.KVPair{Key: e.key, Value: []byte(value)}, nil)
	return err
}

func (e entry) Delete() error {
	_, err := e.kv.Delete(e.key, nil)
	return err
}

// TestDiscover: values of package discover follow a key, and what is announced is there until it is taken back.
func TestDiscover(t *testing.T) {
	t.Parallel()
	address := serve(t)
	config := api.DefaultConfig()
	config.Address = address
	client, err := api.NewClient(config)
	fine(t, err)
	discovertest.Conform(t, discover.Consul{Address: address, Key: "followed", Wait: time.Second}, entry{client.KV(), "followed"})

	a := &announce.Announcement{To: announce.Consul{Address: address}, Key: "announced", Value: []byte("here"), OnError: func(err error) { t.Error(err) }}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Serve(ctx) }()
	fine(t, a.Ready(t.Context()))
	pair, _, err := client.KV().Get("announced", nil)
	fine(t, err)
	if pair == nil || string(pair.Value) != "here" || pair.Session == "" {
		t.Errorf("what is announced is %+v", pair)
	}
	cancel()
	fine(t, <-ended)
	pair, _, err = client.KV().Get("announced", nil)
	if err != nil || pair != nil {
		t.Errorf("what was announced is %+v, %v", pair, err)
	}
}
