package server

import (
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// roomInterval is how often the disk is looked at.
const roomInterval = time.Second

// mindRoom sees that a disk that is full ends nothing: writes are refused before they fail, and what makes room has the
// reserve to do so. Whoever makes room ends the alarm.
func (s *Server) mindRoom() {
	ticker := time.NewTicker(roomInterval)
	defer ticker.Stop()
	for {
		full, err := s.disk.Reserve.Mind()
		if err != nil {
			s.logger.Sugar().Warn(err)
		}
		if full && len(s.State.Alarms(pb.AlarmType_NOSPACE)) == 0 {
			s.logger.Sugar().Warnf("the disk of %s is full: only reads, deletes and compaction work", s.options.Dir)
			s.RaiseFull(s.context)
		}
		select {
		case <-ticker.C:
		case <-s.context.Done():
			return
		}
	}
}
