package balance

import (
	"context"
	"errors"
	"math"
	"slices"
	"time"

	"github.com/divisi-go/divisi/codegen"
	"github.com/divisi-go/divisi/internal/call"
)

const (
	missesMost = 5  // calls in a row without an answer, until a replica is half dead
	answersMin = 20 // until it is known how fast a replica is

	// Times are compared by their binary logarithms, so that averages are geometric: some answers take a
	// thousand times as long as others of the same method, and say as much as one that is as much faster.
	slower  = 1.6 // than the others by that much, three times their time, and it is half dead
	extreme = 3   // bounds what one answer can tell: eight times the usual time

	// slack is how much an answer may differ from what is usual and still be called usual: what is near
	// takes less time than what is far away.
	slack = 5 * time.Millisecond
	// weight is that of one more call in a moving average.
	weight = 1.0 / 16
)

var slackLog = math.Log2(float64(slack))

// record is what calls have told of a replica since it was ejected.
type record struct {
	misses  int     // calls that got no answer in time, or whose handlers panicked, since one was answered well
	answers int     // others
	pace    float64 // how much longer these took than all replicas' calls of the same methods: 1 is twice as long
	trial   bool    // it was ejected, and gets one call at a time until one is answered well
}

// outcome is how a call has ended at a replica.
type outcome struct {
	method codegen.Key
	routed bool
	stream bool          // which may take as long as it likes
	took   time.Duration // unless it is a stream
	reply  call.Reply
	err    error
}

// missed reports whether the replica did not do what it was asked.
func (o *outcome) missed() bool {
	return errors.Is(o.err, context.DeadlineExceeded) && !o.stream || o.err == nil && o.reply.Status == codegen.StatusPanic
}

// answered reports whether the method has returned.
func (o *outcome) answered() bool { return o.err == nil && o.reply.Status <= codegen.StatusAppError }

// judgeLocked takes the outcome of a call into a replica's record, and reports whether the replica is
// ejected therefore: it does far worse than others do. What began before it was tried again says nothing new.
func (p *Pool) judgeLocked(r *replica, now time.Time, o *outcome) (ejected bool) {
	bad := false
	switch {
	case now.Add(-o.took).Before(r.ejected):
	case o.missed():
		r.misses++
		bad = r.trial || r.misses >= missesMost && p.othersAnswerLocked(r)
	case o.answered():
		pace, others := p.measureLocked(r, o), p.paceOfOthersLocked(r)
		late := pace >= slower+others
		if !late {
			r.misses = 0
		}
		bad = r.trial && late || r.answers >= answersMin && r.pace >= slower+others
		r.trial = false
	}
	return bad && p.ejectLocked(r, now)
}

// measureLocked compares how long an answer took with what is usual for its method, and returns that. Which
// replica has a routed call is not by chance, so that it says nothing about the replica.
func (p *Pool) measureLocked(r *replica, o *outcome) (pace float64) {
	r.answers++
	if o.took <= 0 || o.routed {
		return -extreme
	}

	u := p.usual[o.method]
	if u == nil {
		u = &usual{log: math.Log2(float64(o.took))}
		p.usual[o.method] = u
	}
	pace = u.compare(o.took)
	r.pace += (pace - r.pace) * weight
	return pace
}

// usual is what the calls of a method take.
type usual struct {
	log float64 // moving average of the binary logarithms of nanoseconds
}

// compare takes one more call into the average, and returns how much longer than usual it took; 0 if that is little.
func (u *usual) compare(took time.Duration) (pace float64) {
	log := math.Log2(float64(took))
	before := u.log
	pace = min(max(log-before, -extreme), extreme)
	u.log += pace * weight
	if before < slackLog && took < slack { // as most are
		return 0
	}
	if difference := took - time.Duration(math.Exp2(before)); difference.Abs() < slack {
		return 0
	}
	return pace
}

// paceOfOthersLocked is what the half of the other replicas that are faster have at most; 0 if nothing is known.
func (p *Pool) paceOfOthersLocked(r *replica) float64 {
	var paces []float64
	for _, other := range p.replicas {
		if other != r && other.answers > 0 {
			paces = append(paces, other.pace)
		}
	}
	if len(paces) == 0 {
		return 0
	}
	slices.Sort(paces)
	return paces[len(paces)/2]
}

// othersAnswerLocked reports whether most of the other replicas answer.
func (p *Pool) othersAnswerLocked(r *replica) bool {
	answer := 0
	for _, other := range p.replicas {
		if other != r && other.misses <= 1 {
			answer++
		}
	}
	return 2*answer >= len(p.replicas)-1
}

// ejectLocked leaves a replica out for a while, and reports false if too many are left out already.
func (p *Pool) ejectLocked(r *replica, now time.Time) bool {
	ejected := 1
	for _, other := range p.replicas {
		if other != r && other.leftOut(now) {
			ejected++
		}
	}
	if ejected > max(1, len(p.replicas)/3) || len(p.replicas) == 1 {
		return false
	}
	r.ejected = now.Add(min(ejectCap, ejectBase<<min(r.ejections, 10)))
	r.ejections++
	r.record = record{trial: true}
	p.stats.Ejections++
	return true
}
