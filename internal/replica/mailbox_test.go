package replica

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/divisi-go/divisi/envelope/protos"
)

// TestSettle: a mailbox is settled when all that was put into it has been told, and nobody waits longer than
// they want to.
func TestSettle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMailbox()
		m.settle(t.Context()) // there is nothing to tell

		m.know([]*protos.RoutingInfo{{Component: "known"}})
		m.settle(t.Context())

		m.put(&protos.RoutingInfo{Component: "a"})
		limited, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		m.settle(limited)
		if limited.Err() == nil {
			t.Error("it is settled before anything was told")
		}

		settled := make(chan struct{})
		go func() {
			defer close(settled)
			m.settle(t.Context())
		}()
		told := m.take()
		m.put(&protos.RoutingInfo{Component: "b"})
		m.settled() // a was told
		synctest.Wait()
		select {
		case <-settled:
			t.Error("it is settled before b was told")
		default:
		}

		m.giveBack(told)
		if again := m.take(); len(again) != 2 {
			t.Errorf("%v is told again, want a and b", again)
		}
		m.settled()
		<-settled
	})
}
