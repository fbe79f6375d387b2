// Embedded is a program that has its store in itself: it counts how often it was started, however it ended, and
// watches the key. Clients of etcd find the same store at localhost:2379.
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"os"
	"os/signal"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/divisi-go/divisi/store"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	s, err := store.Open(ctx, store.Options{Dir: "embedded-data"})
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	l, err := net.Listen("tcp", "localhost:2379")
	if err != nil {
		log.Fatal(err)
	}
	go s.Serve(ctx, l, nil)

	put, err := s.Client().Put(ctx, "started", "now", clientv3.WithPrevKV())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("started before:", put.PrevKv.GetVersion(), "times; try: etcdctl put started again")
	for r := range s.Client().Watch(ctx, "started") {
		fmt.Println("now it is", string(r.Events[0].Kv.Value))
	}
}
