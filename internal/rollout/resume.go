package rollout

import "time"

// Version is a version that runs when a deployer takes over.
type Version struct {
	Digest  string // of its program and configuration
	Leaving bool   // replicas of it drain, or are gone, because the next version takes calls
}

// Decision is what a deployer does that takes over. Digests are empty for none.
type Decision struct {
	Serve   string   // goes on as it is
	Drop    []string // drain, and end
	Upgrade string   // starts, or is completed, beside the one that serves, or alone
}

// Resume decides about an application of which the given versions run, in the order in which they began,
// and of which one is wanted. An upgrade that was going on to that version goes on; one to another version is
// withdrawn, unless it was so far that the version before it was leaving.
func Resume(running []Version, wanted string) Decision {
	var d Decision
	var serving Version
	for i, v := range running {
		switch {
		case i == 0:
			serving = v
		case serving.Leaving:
			d.Drop = append(d.Drop, serving.Digest)
			serving = v
		case v.Digest != wanted:
			d.Drop = append(d.Drop, v.Digest)
		}
	}

	d.Serve = serving.Digest
	if d.Serve != wanted {
		d.Upgrade = wanted
	}
	return d
}

// again is how long a version that has failed is not tried.
const again = 10 * time.Minute

// Failure is an upgrade that was withdrawn.
type Failure struct {
	Digest string    `json:"digest"`
	At     time.Time `json:"at"`
	Reason string    `json:"reason"`
}

// Failures are those of an application that count yet.
type Failures []Failure

// Add returns the failures with another one, which takes the place of that of the same version before.
func (f Failures) Add(failure Failure) Failures {
	var left Failures
	for _, old := range f {
		if old.Digest != failure.Digest && old.counts(failure.At) {
			left = append(left, old)
		}
	}
	return append(left, failure)
}

// Recent returns the failure for which a version is not to be tried, unless somebody asks for it.
func (f Failures) Recent(digest string, now time.Time) (Failure, bool) {
	for _, old := range f {
		if old.Digest == digest && old.counts(now) {
			return old, true
		}
	}
	return Failure{}, false
}

// counts is true also for what has failed later than now, by a clock that was set back: but not for long.
func (f Failure) counts(now time.Time) bool { return now.Sub(f.At).Abs() < again }
