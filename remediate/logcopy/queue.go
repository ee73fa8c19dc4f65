package logcopy

import (
	"os"

	"github.com/hostguard/hostguard/internal/rotatedlogs"
)

// pending is a log that is to be copied.
type pending struct {
	Item
	log rotatedlogs.Log
}

// queue is a source with what is still to be copied from it.
type queue struct {
	Source
	items  []pending
	taken  int64    // bytes, of this run
	volume *os.File // nil: not opened yet
}

// next returns the queue from which least was taken so far; nil: all are empty.
func next(queues []queue) *queue {
	var least *queue
	for i := range queues {
		if q := &queues[i]; len(q.items) > 0 && (least == nil || q.taken < least.taken) {
			least = q
		}
	}
	return least
}

func (q *queue) open() (err error) {
	if q.volume == nil {
		q.volume, err = q.Open()
	}
	return err
}

func (q *queue) close() {
	if q.volume != nil {
		q.volume.Close()
	}
}
