package identity

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// machine is a clock that goes on over processes, until the machine starts again.
type machine struct {
	start string
	began time.Time
}

func (m *machine) uptime() (string, time.Duration) { return m.start, time.Since(m.began) }

// TestTakeover has one deployer after the other take the authority over, while the wall clock is set to
// anything, and members come and go, for longer than any certificate lives. All have the same roots, and
// at no time is anybody refused, also by those that have not met the next deployer yet.
func TestTakeover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		jumps := []time.Duration{0, 400 * 24 * time.Hour, -10 * 365 * 24 * time.Hour, -6 * time.Minute, 31 * 24 * time.Hour}
		looked := 0
		m := machine{"a start", time.Now().Add(-time.Hour)}
		var kept []byte
		options := Options{
			Uptime: m.uptime,
			Save:   func(record []byte) error { kept = record; return nil },
			Wall: func() time.Time {
				looked++
				return time.Now().Add(jumps[looked%len(jumps)])
			},
		}
		o := newOffice(NewAuthority("d1", options))
		var members []*member
		for day := range 430 {
			if day%50 == 0 {
				members = append(members, o.join(t, "stock", day))
				members = members[max(0, len(members)-3):]
			}
			before := o.a
			o.close()
			time.Sleep(24 * time.Hour)
			allMeet(t, members)
			next, err := ResumeAuthority("d1", kept, options)
			if err != nil {
				t.Fatal(err)
			}
			if now, want := next.now(), before.now(); !now.Equal(want) {
				t.Fatalf("the next deployer takes it to be %v, and the one before %v", now, want)
			}
			o.reopen(next)
		}
	})
}

// TestOtherStart: when the machine has started again, the time is that of the wall clock, but no earlier than
// it was.
func TestOtherStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here := machine{"a start", time.Now().Add(-time.Hour)}
		jump := time.Duration(0)
		options := Options{Uptime: here.uptime, Wall: func() time.Time { return time.Now().Add(jump) }}
		a := NewAuthority("d1", options)
		issued(t, a)
		record, err := a.Record()
		if err != nil {
			t.Fatal(err)
		}

		time.Sleep(time.Hour)
		for _, c := range []struct {
			there      machine
			jump, want time.Duration
		}{
			{here, -10 * time.Hour, time.Hour},
			{machine{"a start", time.Now()}, 5 * time.Hour, 6 * time.Hour}, // of another namespace of time
			{machine{"another", here.began}, 5 * time.Hour, 6 * time.Hour},
			{machine{"another", here.began}, -5 * time.Hour, 0},
			{machine{"", here.began}, 5 * time.Hour, 6 * time.Hour},
		} {
			jump = c.jump
			o := options
			o.Uptime = c.there.uptime
			next, err := ResumeAuthority("d1", record, o)
			if err != nil {
				t.Fatal(err)
			}
			if got := next.now().Sub(a.wall); got != c.want {
				t.Errorf("%+v: %v have passed", c, got)
			}
		}
	})
}

// TestNotKept: nobody hears of a root that cannot be kept, and the one before signs as long as it can.
func TestNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wrong := errors.New("wrong")
		err := wrong
		saved := 0
		a := NewAuthority("d1", Options{Save: func([]byte) error { saved++; return err }})
		_, _, failed := a.Issue(cart)
		if !errors.Is(failed, wrong) || len(a.Told(nil).Roots) != 0 {
			t.Errorf("the first root: %v", failed)
		}
		err = nil
		issued(t, a)
		err, saved = wrong, 0
		for day := 0; day < 364; day += 7 {
			checkVerify(t, "a certificate", a, issued(t, a), "")
			time.Sleep(7 * 24 * time.Hour)
		}
		if saved < 10 || len(a.Told(nil).Roots) != 1 {
			t.Errorf("tried %d times, there are %d roots", saved, len(a.Told(nil).Roots))
		}
		time.Sleep(48 * time.Hour)
		if _, _, failed = a.Issue(cart); !errors.Is(failed, wrong) {
			t.Errorf("after a year: %v", failed)
		}
		err = nil
		checkVerify(t, "a certificate of the next root", a, issued(t, a), "")
	})
}

func TestBadRecord(t *testing.T) {
	a, other := NewAuthority("d1", Options{}), NewAuthority("d1", Options{})
	issued(t, a)
	issued(t, other)
	good := func() (r record) {
		data, err := a.Record()
		if err == nil {
			err = json.Unmarshal(data, &r)
		}
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	leaf := issued(t, a)[0]
	for want, change := range map[string]func(r *record){
		`is of the deployment "d2", not "d1"`:        func(r *record) { r.Deployment = "d2" },
		"has 0 roots, and must have 1 to 16":         func(r *record) { r.Roots = nil },
		"has 17 roots":                               func(r *record) { r.Roots = make([]keptRoot, 17) },
		"has a time that is less than none":          func(r *record) { r.Leaf = -1 },
		"root 0 in the record of an authority: x509": func(r *record) { r.Roots[0].Cert = []byte("x") },
		"root 0 in the record of an authority: asn1": func(r *record) { r.Roots[0].Key = []byte("x") },
		"it may not sign":                            func(r *record) { r.Roots[0].Cert = leaf },
		"the key is not that of the certificate":     func(r *record) { r.Roots[0].Cert = other.roots[0].cert.Raw },
		"has 70000 bytes, and may have 65536":        nil,
		"the record of an authority does not parse":  nil,
	} {
		data := []byte("noise")
		if change != nil {
			r := good()
			change(&r)
			data, _ = json.Marshal(r)
		} else if want[0] == 'h' {
			data = bytes.Repeat([]byte(" "), 70_000)
		}
		_, err := ResumeAuthority("d1", data, Options{})
		wantText(t, err, want)
	}
}
