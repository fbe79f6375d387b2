package system_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/divisi-go/divisi/system"
	"github.com/divisi-go/divisi/system/systemtest"
)

// TestAsk: in a test a function answers, and what it answers is checked as what an operator answers is.
func TestAsk(t *testing.T) {
	t.Parallel()
	answers := map[string]string{"/test/port": "8081", "/test/low": "81", "/test/odd": "x", "/test/default": ""}
	ctx, n, _ := systemtest.NewWith(t, system.Program{
		Strategy: system.AllFail,
		Operator: func(q system.Asked) (string, error) {
			answer, ok := answers[q.Key]
			if !ok {
				return "", system.ErrGivenUp
			}
			if q.Type != "a whole number" || q.Default != "80" {
				t.Errorf("%+v", q)
			}
			return answer, nil
		},
	})
	check := func(v int) error {
		if v < 1024 {
			return errors.New("use a port from 1024 on")
		}
		return nil
	}

	for key, want := range map[string]string{
		"port": "", "default": "", "low": "use a port from 1024 on", "odd": "not a whole number", "none": system.ErrGivenUp.Error(),
		"two words": "no name that an operator can write", "": "no name that an operator can write",
	} {
		port, err := system.Ask(ctx, n, system.Question[int]{Key: key, Text: "which port?", Default: 80, Check: check})
		switch {
		case want == "" && err != nil, want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%q: %d, %v", key, port, err)
		case key == "port" && port != 8081, key == "default" && port != 80:
			t.Errorf("%q: %d", key, port)
		}
	}
}

// TestOffered: what an operator is offered has one name each, is of kinds that one can write, and goes with
// its nursery.
func TestOffered(t *testing.T) {
	t.Parallel()
	ctx, n, _ := systemtest.New(t)
	if err := n.Verb("add", func(a, b int) int { return a + b }); err != nil {
		t.Error(err)
	}
	has(t, n.Verb("add", func() {}), "the verb add is there twice: at system/operate_test.go:", " and at system/operate_test.go:")
	has(t, n.Verb("list", func() {}), "the verb list is there twice: at package system")
	has(t, n.Verb("a/b", func() {}), "no name that an operator can write")
	has(t, n.Verb("call", func(func()) {}), "nobody can write its argument 1")

	limit, err := system.Tune(n, "limit", 10, nil)
	if err != nil || limit.Get() != 10 {
		t.Error(limit, err)
	}
	_, err = system.Tune(n, "limit", 10, nil)
	has(t, err, "the value limit is declared twice")

	_, err = system.Start(ctx, n, system.Scope{Name: "eu"}, func(_ context.Context, in *system.Nursery) (int, error) {
		return 0, in.Verb("add", func(a, b int) int { return a + b })
	})
	if err != nil {
		t.Error(err)
	}
}
