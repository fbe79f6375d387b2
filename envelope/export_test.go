package envelope

import "time"

// SetEndTime says how long a process may live on after its conversation.
func (e *Envelope) SetEndTime(d time.Duration) { e.endTime = d }
