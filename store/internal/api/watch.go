package api

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/auth"
	"go.etcd.io/etcd/server/v3/storage/mvcc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/divisi-go/divisi/store/internal/server"
)

// progressInterval is how often a quiet watch that wants to know is told how far it is; up to a tenth more, so that
// clients that began together are not told together.
const progressInterval = 10 * time.Minute

// watches is the service Watch.
type watches struct {
	s *server.Server
	pb.UnsafeWatchServer
}

// Watch serves one stream of a client. One goroutine reads what the client wants; this one does it, and sends, so
// that a watch is announced before its first event, and nothing follows its end.
func (w *watches) Watch(stream pb.Watch_WatchServer) error {
	ctx := stream.Context()
	requests := make(chan *pb.WatchRequest)
	failed := make(chan error, 1)
	done := make(chan struct{})
	defer close(done)
	go func() {
		for {
			r, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				return // it wants nothing more, and still sees what it has asked for
			}
			if err != nil {
				failed <- err
				return
			}
			select {
			case requests <- r:
			case <-done:
				return
			}
		}
	}()

	v := &viewer{
		s: w.s, stream: stream, source: w.s.State.KV.NewWatchStream(), watches: map[mvcc.WatchID]*watch{},
		users: editionOf(w.s),
	}
	defer v.close()
	progress := time.NewTicker(progressInterval + rand.N(progressInterval/10))
	defer progress.Stop()
	for {
		var err error
		select {
		case r := <-requests:
			err = v.take(r)
		case events, open := <-v.source.Chan():
			if !open {
				return nil
			}
			err = v.show(events)
		case <-progress.C:
			v.remind()
		case err = <-failed:
			return ended(ctx, err)
		case <-ctx.Done():
			return ended(ctx, ctx.Err())
		}
		if err != nil {
			return err
		}
	}
}

func ended(ctx context.Context, err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(ctx.Err(), context.Canceled) {
		return rpctypes.ErrGRPCWatchCanceled
	}
	return err
}

// viewer is a stream of watches. It belongs to one goroutine.
type viewer struct {
	s       *server.Server
	stream  pb.Watch_WatchServer
	source  mvcc.WatchStream
	watches map[mvcc.WatchID]*watch
	users   edition // by which watches were permitted
}

// watch is what a client wants of a watch besides events.
type watch struct {
	span                       span
	progress, prevKV, fragment bool
	busy                       bool // it had events since it was last reminded
}

func (v *viewer) take(r *pb.WatchRequest) error {
	switch u := r.GetRequestUnion().(type) {
	case *pb.WatchRequest_CreateRequest:
		if u.CreateRequest != nil {
			return v.create(u.CreateRequest)
		}
	case *pb.WatchRequest_CancelRequest:
		if u.CancelRequest != nil {
			return v.cancel(u.CancelRequest.WatchId)
		}
	case *pb.WatchRequest_ProgressRequest:
		v.source.RequestProgressAll()
	}
	return nil // what newer clients ask besides changes nothing
}

// span is the keys that a watch is about, and the only place that knows what an empty key or end means: it is
// permitted as it is watched.
type span struct{ key, end []byte }

func spanOf(r *pb.WatchCreateRequest) span {
	p := span{r.Key, r.RangeEnd}
	if len(p.key) == 0 {
		p.key = []byte{0} // the smallest key
	}
	if len(p.end) == 0 {
		p.end = nil
	}
	return p
}

// permitted says whether who asks may read all of it.
func (p span) permitted(ctx context.Context, s *server.Server) error {
	return s.MayRead(ctx, p.key, p.end)
}

// watched returns the end as the store of keys wants it, where nil is one key and an empty one is none.
func (p span) watched() (key, end []byte) {
	if len(p.end) == 1 && p.end[0] == 0 {
		return p.key, []byte{}
	}
	return p.key, p.end
}

func (v *viewer) create(r *pb.WatchCreateRequest) error {
	ctx := v.stream.Context()
	p := spanOf(r)
	err := p.permitted(ctx, v.s)
	if err != nil {
		return v.refuse(told(err).Error())
	}
	if r.StartRevision < 0 {
		return v.refuse(rpctypes.ErrCompacted.Error())
	}

	key, end := p.watched()
	id, err := v.source.Watch(ctx, mvcc.WatchID(r.WatchId), key, end, r.StartRevision, filters(r)...)
	if err != nil {
		return v.refuse(err.Error())
	}
	v.watches[id] = &watch{span: p, progress: r.ProgressNotify, prevKV: r.PrevKv, fragment: r.Fragment}
	return v.stream.Send(&pb.WatchResponse{Header: v.header(v.source.Rev()), WatchId: int64(id), Created: true})
}

// refuse answers for a watch that never began.
func (v *viewer) refuse(why string) error {
	return v.stream.Send(&pb.WatchResponse{
		Header: v.header(v.source.Rev()), WatchId: clientv3.InvalidWatchID,
		Created: true, Canceled: true, CancelReason: why,
	})
}

func (v *viewer) cancel(id int64) error {
	err := v.source.Cancel(mvcc.WatchID(id))
	if err != nil {
		return nil // there is none
	}
	delete(v.watches, mvcc.WatchID(id))
	return v.stream.Send(&pb.WatchResponse{Header: v.header(v.source.Rev()), WatchId: id, Canceled: true})
}

// show sends events. Those of a watch that was canceled meanwhile are dropped.
func (v *viewer) show(r mvcc.WatchResponse) error {
	mvcc.ReportEventReceived(len(r.Events))
	err := v.permit()
	if err != nil {
		return err
	}
	w, found := v.watches[r.WatchID]
	if !found {
		if r.WatchID != clientv3.InvalidWatchID { // that is how far all of them are
			return nil
		}
		w = &watch{}
	}
	w.busy = w.busy || len(r.Events) > 0

	response := &pb.WatchResponse{
		Header: v.header(r.Revision), WatchId: int64(r.WatchID), Events: r.Events,
		CompactRevision: r.CompactRevision, Canceled: r.CompactRevision != 0,
	}
	if w.prevKV {
		response.Events = v.withPrevious(r.Events)
	}
	if response.Canceled {
		delete(v.watches, r.WatchID)
	}
	if !w.fragment {
		return v.stream.Send(response)
	}
	return fragments(response, v.s.Options().MaxRequestBytes+overhead, v.stream.Send)
}

// edition says which users there are, and whether users count.
type edition struct {
	enabled  bool
	revision uint64
}

func editionOf(s *server.Server) edition {
	return edition{enabled: s.State.Auth.IsAuthEnabled(), revision: s.State.Auth.Revision()}
}

// permit ends what is not permitted any more, before anything more is shown. Users change seldom, so all that was
// permitted is asked for again when they have. Where the token counts no more, the stream ends in a way that
// clients know as an interruption: who still may watch, with a new token, goes on where it was.
func (v *viewer) permit() error {
	now := editionOf(v.s)
	if now == v.users {
		return nil
	}
	for id, w := range v.watches {
		refused := w.span.permitted(v.stream.Context(), v.s)
		switch refused {
		case nil:
			continue
		case auth.ErrInvalidAuthToken, auth.ErrAuthOldRevision:
			return status.Error(codes.Unavailable, "the users have changed, and a new token is needed")
		}
		err := v.source.Cancel(id)
		if err != nil {
			continue // a compaction has ended it, which is on its way
		}
		delete(v.watches, id)
		err = v.stream.Send(&pb.WatchResponse{
			Header: v.header(v.source.Rev()), WatchId: int64(id), Canceled: true, CancelReason: told(refused).Error(),
		})
		if err != nil {
			return err
		}
	}
	v.users = now
	return nil
}

// withPrevious adds what keys were before. Other watches have the same events, so they are copied.
func (v *viewer) withPrevious(events []*mvccpb.Event) []*mvccpb.Event {
	list := make([]*mvccpb.Event, len(events))
	for i, e := range events {
		list[i] = &mvccpb.Event{Type: e.Type, Kv: e.Kv}
		created := e.Type == mvccpb.Event_PUT && e.Kv.CreateRevision == e.Kv.ModRevision
		if created {
			continue
		}
		before, err := v.s.State.KV.Range(v.stream.Context(), e.Kv.Key, nil, mvcc.RangeOptions{Rev: e.Kv.ModRevision - 1})
		if err == nil && len(before.KVs) > 0 {
			list[i].PrevKv = before.KVs[0]
		}
	}
	return list
}

// remind tells quiet watches how far they are. It comes by their own queue, after all events before.
func (v *viewer) remind() {
	for id, w := range v.watches {
		if w.progress && !w.busy {
			v.source.RequestProgress(id)
		}
		w.busy = false
	}
}

func (v *viewer) header(revision int64) *pb.ResponseHeader {
	h := &pb.ResponseHeader{Revision: revision}
	sign(v.s, h)
	return h
}

// close ends all watches, and takes what was on its way to them.
func (v *viewer) close() {
	v.source.Close()
	for r := range v.source.Chan() {
		mvcc.ReportEventReceived(len(r.Events))
	}
}

// fragments sends a response in parts that are smaller than limit, but for one event that is larger.
func fragments(r *pb.WatchResponse, limit int, send func(*pb.WatchResponse) error) error {
	if proto.Size(r) < limit || len(r.Events) < 2 {
		return send(r)
	}
	rest := r.Events
	for len(rest) > 0 {
		part := &pb.WatchResponse{
			Header: r.Header, WatchId: r.WatchId, Created: r.Created, Canceled: r.Canceled,
			CompactRevision: r.CompactRevision, CancelReason: r.CancelReason, Fragment: true,
		}
		size, n := proto.Size(part), 0
		for n < len(rest) {
			// A field costs its tag and its length besides.
			size += proto.Size(rest[n]) + 8
			if n > 0 && size >= limit {
				break
			}
			n++
		}
		part.Events, rest = rest[:n], rest[n:]
		part.Fragment = len(rest) > 0
		err := send(part)
		if err != nil {
			return err
		}
	}
	return nil
}

// filters returns what a watch does not want to see.
func filters(r *pb.WatchCreateRequest) []mvcc.FilterFunc {
	var list []mvcc.FilterFunc
	for _, f := range r.Filters {
		switch f {
		case pb.WatchCreateRequest_NOPUT:
			list = append(list, func(e *mvccpb.Event) bool { return e.Type == mvccpb.Event_PUT })
		case pb.WatchCreateRequest_NODELETE:
			list = append(list, func(e *mvccpb.Event) bool { return e.Type == mvccpb.Event_DELETE })
		}
	}
	return list
}
