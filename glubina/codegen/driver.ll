; The native driver: runs a program's calls on one thread or on a team of them.
; Names in capitals after a dollar sign are filled in by driver.py, which says how records are
; laid out.
$DECLARATIONS
declare i32 @clock_gettime(i32, ptr)
declare i32 @nanosleep(ptr, ptr)
declare i32 @sched_yield()
declare i32 @pthread_mutex_init(ptr, ptr)
declare i32 @pthread_mutex_lock(ptr)
declare i32 @pthread_mutex_unlock(ptr)
declare i32 @pthread_cond_init(ptr, ptr)
declare i32 @pthread_cond_wait(ptr, ptr)
declare i32 @pthread_cond_broadcast(ptr)

; The monotonic clock in nanoseconds. (A cycle counter may not be read everywhere.)
define internal i64 @now() nounwind {
  %time = alloca [2 x i64]
  %rc = call i32 @clock_gettime(i32 $CLOCK, ptr %time)
  %seconds = load i64, ptr %time
  %rest.p = getelementptr i64, ptr %time, i64 1
  %rest = load i64, ptr %rest.p
  %scaled = mul i64 %seconds, 1000000000
  %sum = add i64 %scaled, %rest
  ret i64 %sum
}

; Denormal numbers count as zero inside programs: they would cost a hundred times as much.
define internal i64 @flush_denormals() nounwind {
$FLUSH
}

define internal void @restore_denormals(i64 %saved) nounwind {
$RESTORE
}

; Whether to stop: 1 after an error, 2 when the time is up, else 0.
define internal i64 @verdict(ptr %status, i64 %deadline) nounwind {
  %code = load i64, ptr %status
  %fine = icmp eq i64 %code, 0
  br i1 %fine, label %time, label %error
time:
  %timeless = icmp eq i64 %deadline, 0
  br i1 %timeless, label %on, label %clock
clock:
  %now = call i64 @now()
  %late = icmp sge i64 %now, %deadline
  br i1 %late, label %over, label %on
error:
  ret i64 1
over:
  ret i64 2
on:
  ret i64 0
}

; Waits until every thread is here. The last to come decides for all whether to stop, because by
; the time that a slow thread looks at the status a fast one may have gone on and changed it.
; A long wait is added to `waited`, if that is not null.
define internal i64 @barrier(ptr %team, i64 %threads, i64 %phase, ptr %status, i64 %deadline,
                             ptr %waited) nounwind {
  %arrived.p = getelementptr i8, ptr %team, i64 $TEAM_ARRIVED
  %phase.p = getelementptr i8, ptr %team, i64 $TEAM_PHASE
  %before = atomicrmw add ptr %arrived.p, i64 1 acq_rel
  %rank = add i64 %before, 1
  %last = icmp eq i64 %rank, %threads
  br i1 %last, label %open, label %spin.entry
open:
  store atomic i64 0, ptr %arrived.p monotonic, align 8
  %halt = call i64 @verdict(ptr %status, i64 %deadline)
  %bare = and i64 %phase, -4
  %following = add i64 %bare, 4
  %next = or i64 %following, %halt
  store atomic i64 %next, ptr %phase.p release, align 8
  ret i64 %next
spin.entry:
  %pauses.p = getelementptr i8, ptr %team, i64 $TEAM_PAUSES
  %pauses = load i64, ptr %pauses.p
  br label %spin
spin:
  %n = phi i64 [0, %spin.entry], [%n.next, %pause]
  %seen = load atomic i64, ptr %phase.p acquire, align 8
  %moved = icmp ne i64 %seen, %phase
  br i1 %moved, label %done, label %check
check:
  %n.next = add i64 %n, 1
  %short = icmp slt i64 %n, %pauses
  br i1 %short, label %pause, label %long
pause:
  $PAUSE
  br label %spin
done:
  ret i64 %seen
long:
  ; someone needs this core more: another program, or the thread that is waited for
  %begin = call i64 @now()
  br label %look
look:
  %m = phi i64 [0, %long], [%m.next, %yield], [%m.next, %nap]
  %late = load atomic i64, ptr %phase.p acquire, align 8
  %m.next = add i64 %m, 1
  %here = icmp ne i64 %late, %phase
  br i1 %here, label %over, label %give
give:
  %patient = icmp slt i64 %m, 1000
  br i1 %patient, label %yield, label %nap
yield:
  %rc = call i32 @sched_yield()
  br label %look
nap:
  call void @nap()
  br label %look
over:
  %counts = icmp ne ptr %waited, null
  br i1 %counts, label %count, label %leave
count:
  %end = call i64 @now()
  %spent = sub i64 %end, %begin
  %old = load i64, ptr %waited
  %sum = add i64 %old, %spent
  store i64 %sum, ptr %waited
  br label %leave
leave:
  ret i64 %late
}

define internal void @nap() nounwind {
  %time = alloca [2 x i64]
  store i64 0, ptr %time
  %rest.p = getelementptr i64, ptr %time, i64 1
  store i64 50000, ptr %rest.p
  %rc = call i32 @nanosleep(ptr %time, ptr null)
  ret void
}

; The beginning of a loop, or the end of one of its steps: entries of this thread's table move.
; Returns the number of the call to go on with, or -1 for the next.
define internal i64 @turn(ptr %table, ptr %args) nounwind {
entry:
  %slot.p = getelementptr i64, ptr %args, i64 $TURN_COUNTER
  %slot = load i64, ptr %slot.p
  %steps.p = getelementptr i64, ptr %args, i64 $TURN_STEPS
  %steps = load i64, ptr %steps.p
  %target.p = getelementptr i64, ptr %args, i64 $TURN_TARGET
  %target = load i64, ptr %target.p
  %moves.p = getelementptr i64, ptr %args, i64 $TURN_MOVES
  %moves = load i64, ptr %moves.p
  %first = getelementptr i64, ptr %args, i64 $TURN_FIRST
  %counter.p = getelementptr i64, ptr %table, i64 %slot
  %before = load i64, ptr %counter.p
  %begins = icmp eq i64 %steps, 0
  %more = add i64 %before, 1
  %count = select i1 %begins, i64 0, i64 %more
  store i64 %count, ptr %counter.p
  %again = icmp slt i64 %count, %steps
  %moving = or i1 %begins, %again
  br i1 %moving, label %move, label %over
move:
  %k = phi i64 [0, %entry], [%k.next, %one]
  %left = icmp slt i64 %k, %moves
  br i1 %left, label %one, label %moved
one:
  %offset = mul i64 %k, 3
  %to.p = getelementptr i64, ptr %first, i64 %offset
  %to = load i64, ptr %to.p
  %from.p = getelementptr i64, ptr %to.p, i64 1
  %from = load i64, ptr %from.p
  %bytes.p = getelementptr i64, ptr %to.p, i64 2
  %bytes = load i64, ptr %bytes.p
  %old.p = getelementptr i64, ptr %table, i64 %from
  %old = load i64, ptr %old.p
  %new = add i64 %old, %bytes
  %new.p = getelementptr i64, ptr %table, i64 %to
  store i64 %new, ptr %new.p
  %k.next = add i64 %k, 1
  br label %move
moved:
  %next = select i1 %begins, i64 -1, i64 %target
  ret i64 %next
over:
  ret i64 -1
}

; The table that a thread uses: its own copy of the job's, if the job has loops.
define internal ptr @own_table(ptr %job, i64 %thread) nounwind {
entry:
  %table.p = getelementptr i64, ptr %job, i64 $JOB_TABLE
  %table = load ptr, ptr %table.p
  %rows.p = getelementptr i64, ptr %job, i64 $JOB_ROWS
  %rows = load ptr, ptr %rows.p
  %shared = icmp eq ptr %rows, null
  br i1 %shared, label %all, label %own
all:
  ret ptr %table
own:
  %entries.p = getelementptr i64, ptr %job, i64 $JOB_ENTRIES
  %entries = load i64, ptr %entries.p
  %offset = mul i64 %entries, %thread
  %row = getelementptr i64, ptr %rows, i64 %offset
  %bytes = mul i64 %entries, 8
  call void @llvm.memcpy.p0.p0.i64(ptr %row, ptr %table, i64 %bytes, i1 false)
  ret ptr %row
}
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)

; One thread's part of a job.
define internal void @steps(ptr %team, ptr %job, i64 %thread, i64 %threads) nounwind {
entry:
  %calls = load ptr, ptr %job
  %table = call ptr @own_table(ptr %job, i64 %thread)
  %steps.p = getelementptr i64, ptr %job, i64 $JOB_STEPS
  %steps = load i64, ptr %steps.p
  %deadline.p = getelementptr i64, ptr %job, i64 $JOB_DEADLINE
  %deadline = load i64, ptr %deadline.p
  %ticks.p = getelementptr i64, ptr %job, i64 $JOB_TICKS
  %ticks = load ptr, ptr %ticks.p
  %failed.p = getelementptr i64, ptr %job, i64 $JOB_FAILED
  %status = load ptr, ptr %table
  %shared = icmp sgt i64 %threads, 1
  %first = icmp eq i64 %thread, 0
  %asked = icmp ne ptr %ticks, null
  %timed = and i1 %first, %asked
  %saved = call i64 @flush_denormals()
  br i1 %shared, label %entry.team, label %entry.clock
entry.team:
  %phase.p = getelementptr i8, ptr %team, i64 $TEAM_PHASE
  %phase.start = load atomic i64, ptr %phase.p acquire, align 8
  br label %entry.clock
entry.clock:
  %phase.0 = phi i64 [0, %entry], [%phase.start, %entry.team]
  br i1 %timed, label %entry.timed, label %call
entry.timed:
  %start = call i64 @now()
  br label %call

call:
  %step = phi i64 [0, %entry.clock], [0, %entry.timed], [%step.next, %advance]
  %c = phi i64 [0, %entry.clock], [0, %entry.timed], [%c.next, %advance]
  %phase = phi i64 [%phase.0, %entry.clock], [%phase.0, %entry.timed], [%phase.next, %advance]
  %clock = phi i64 [0, %entry.clock], [%start, %entry.timed], [%clock.next, %advance]
  %offset = mul i64 %c, $CALL_WORDS
  %record = getelementptr ptr, ptr %calls, i64 %offset
  %function = load ptr, ptr %record
  %args.p = getelementptr ptr, ptr %record, i64 $CALL_ARGS
  %args = load ptr, ptr %args.p
  %flags.p = getelementptr i64, ptr %record, i64 $CALL_FLAGS
  %flags = load i64, ptr %flags.p
  %turn.bit = and i64 %flags, $TURN
  %turns = icmp ne i64 %turn.bit, 0
  br i1 %turns, label %turn, label %work
turn:
  %turned = call i64 @turn(ptr %table, ptr %args)
  br label %called
work:
  %serial.bit = and i64 %flags, $SERIAL
  %serial = icmp ne i64 %serial.bit, 0
  br i1 %serial, label %alone, label %together
alone:
  ; calls without a barrier between them: an error in one must keep the next from running
  br i1 %first, label %alone.check, label %called
alone.check:
  %code = load i64, ptr %status
  %fine = icmp eq i64 %code, 0
  br i1 %fine, label %alone.run, label %called
alone.run:
  call void %function(ptr %table, ptr %args, i64 0, i64 1)
  %code.after = load i64, ptr %status
  %still.fine = icmp eq i64 %code.after, 0
  br i1 %still.fine, label %called, label %alone.failed
alone.failed:
  store i64 %c, ptr %failed.p
  br label %called
together:
  call void %function(ptr %table, ptr %args, i64 %thread, i64 %threads)
  br label %called

called:
  %jump = phi i64 [%turned, %turn], [-1, %alone], [-1, %alone.check], [-1, %alone.run],
                  [-1, %alone.failed], [-1, %together]
  %jumps = icmp sge i64 %jump, 0
  %ends = select i1 %jumps, i64 0, i64 -1
  %last.bit = and i64 %flags, $LAST
  %last.here = and i64 %last.bit, %ends
  %last = icmp ne i64 %last.here, 0
  %limit = select i1 %last, i64 %deadline, i64 0
  br i1 %shared, label %meet, label %judge
judge:
  %verdict = call i64 @verdict(ptr %status, i64 %limit)
  br label %after
meet:
  %barrier.flag = and i64 %flags, $BARRIER
  %barrier.bit = and i64 %barrier.flag, %ends
  %barrier = icmp ne i64 %barrier.bit, 0
  br i1 %barrier, label %wait, label %after
wait:
  ; the first thread's waits tell whether the team is a help
  %waited.p = getelementptr i8, ptr %team, i64 $TEAM_WAITED
  %waited = select i1 %first, ptr %waited.p, ptr null
  %phase.new = call i64 @barrier(ptr %team, i64 %threads, i64 %phase, ptr %status, i64 %limit,
                                 ptr %waited)
  %halt.new = and i64 %phase.new, 3
  br label %after
after:
  %phase.next = phi i64 [%phase, %judge], [%phase, %meet], [%phase.new, %wait]
  %halt = phi i64 [%verdict, %judge], [0, %meet], [%halt.new, %wait]
  br i1 %timed, label %measure, label %decide
measure:
  %now = call i64 @now()
  %tick.p = getelementptr i64, ptr %ticks, i64 %c
  %tick.old = load i64, ptr %tick.p
  %spent = sub i64 %now, %clock
  %tick = add i64 %tick.old, %spent
  store i64 %tick, ptr %tick.p
  br label %decide
decide:
  %clock.next = phi i64 [0, %after], [%now, %measure]
  %one = zext i1 %last to i64
  %c.following = add i64 %c, 1
  %c.after = select i1 %jumps, i64 %jump, i64 %c.following
  %c.next = select i1 %last, i64 0, i64 %c.after
  ; a step that ended in an error does not count
  %failed = icmp eq i64 %halt, 1
  %counted = select i1 %failed, i64 0, i64 %one
  %step.next = add i64 %step, %counted
  %finished = icmp eq i64 %step.next, %steps
  %stopped = icmp ne i64 %halt, 0
  %leave = or i1 %finished, %stopped
  br i1 %leave, label %end, label %advance
advance:
  br label %call

end:
  call void @restore_denormals(i64 %saved)
  br i1 %first, label %tell, label %return
tell:
  %done.p = getelementptr i64, ptr %job, i64 $JOB_DONE
  store i64 %step.next, ptr %done.p
  %known = load i64, ptr %failed.p
  %unknown = icmp slt i64 %known, 0
  %name = and i1 %failed, %unknown
  br i1 %name, label %blame, label %return
blame:
  store i64 %c, ptr %failed.p
  br label %return
return:
  ret void
}

; Runs a job: with the team if it is free and the job wants it, else on this thread alone.
; Returns the status code.
define i64 @glubina_run(ptr %job, ptr %team) nounwind {
entry:
  %table.p = getelementptr i64, ptr %job, i64 $JOB_TABLE
  %table = load ptr, ptr %table.p
  %slots.p = getelementptr i64, ptr %job, i64 $JOB_SLOTS
  %slots = load ptr, ptr %slots.p
  %addresses.p = getelementptr i64, ptr %job, i64 $JOB_ADDRESSES
  %addresses = load ptr, ptr %addresses.p
  %patches.p = getelementptr i64, ptr %job, i64 $JOB_PATCHES
  %patches = load i64, ptr %patches.p
  %status = load ptr, ptr %table
  store <4 x i64> zeroinitializer, ptr %status, align 8
  %failed.p = getelementptr i64, ptr %job, i64 $JOB_FAILED
  store i64 -1, ptr %failed.p
  br label %patch
patch:
  %k = phi i64 [0, %entry], [%k.next, %patch.one]
  %more = icmp slt i64 %k, %patches
  br i1 %more, label %patch.one, label %patched
patch.one:
  %pair = mul i64 %k, 2
  %pair.p = getelementptr i64, ptr %slots, i64 %pair
  %slot = load i64, ptr %pair.p
  %number.p = getelementptr i64, ptr %pair.p, i64 1
  %number = load i64, ptr %number.p
  %address.p = getelementptr i64, ptr %addresses, i64 %number
  %address = load i64, ptr %address.p
  %slot.p = getelementptr i64, ptr %table, i64 %slot
  store i64 %address, ptr %slot.p
  %k.next = add i64 %k, 1
  br label %patch
patched:
  %threads.p = getelementptr i64, ptr %job, i64 $JOB_THREADS
  %threads = load i64, ptr %threads.p
  %many = icmp sgt i64 %threads, 1
  br i1 %many, label %try, label %alone
try:
  %team.known = icmp ne ptr %team, null
  br i1 %team.known, label %take, label %alone
take:
  %busy.p = getelementptr i8, ptr %team, i64 $TEAM_BUSY
  %pair.busy = cmpxchg ptr %busy.p, i64 0, i64 1 acquire monotonic
  %got = extractvalue { i64, i1 } %pair.busy, 1
  br i1 %got, label %trust, label %alone
trust:
  %until.p = getelementptr i8, ptr %team, i64 $TEAM_UNTIL
  %until = load i64, ptr %until.p
  %trusted = icmp eq i64 %until, 0
  br i1 %trusted, label %together, label %doubt
doubt:
  %now = call i64 @now()
  %again = icmp sge i64 %now, %until
  br i1 %again, label %together, label %release
release:
  store atomic i64 0, ptr %busy.p release, align 8
  br label %alone
alone:
  call void @steps(ptr null, ptr %job, i64 0, i64 1)
  br label %end
together:
  %job.p = getelementptr i8, ptr %team, i64 $TEAM_JOB
  store ptr %job, ptr %job.p
  %waited.p = getelementptr i8, ptr %team, i64 $TEAM_WAITED
  store i64 0, ptr %waited.p
  %begin = call i64 @now()
  %cold = call i1 @announce(ptr %team, i64 %threads)
  call void @steps(ptr %team, ptr %job, i64 0, i64 %threads)
  call void @judge(ptr %team, i64 %begin, i64 %threads, i1 %cold)
  store atomic i64 0, ptr %busy.p release, align 8
  br label %end
end:
  %code = load i64, ptr %status
  ret i64 %code
}

; After a job: were the others a help? Where the cores are busy with other programs they are not:
; the first thread waits for them longer than it would have worked without them. Once is chance (a
; job's first run meets fresh pages, which one thread may have to wait for); after the second time
; the next job runs alone, after the third the next two or so, and so on up to sixteen times as
; long as this one took, but no longer than a quarter of a second or four jobs: the cores may be
; free again. Each job that was helped makes up for one that was not.
; (They may have had to wake first, which is no fault of theirs.)
define internal void @judge(ptr %team, i64 %begin, i64 %threads, i1 %cold) nounwind {
  %adapts.p = getelementptr i8, ptr %team, i64 $TEAM_ADAPTS
  %waited.p = getelementptr i8, ptr %team, i64 $TEAM_WAITED
  %until.p = getelementptr i8, ptr %team, i64 $TEAM_UNTIL
  %streak.p = getelementptr i8, ptr %team, i64 $TEAM_STREAK
  %now = call i64 @now()
  %spent = sub i64 %now, %begin
  %all.waits = load i64, ptr %waited.p
  %waking = select i1 %cold, i64 100000, i64 0
  %rest = sub i64 %all.waits, %waking
  %waited = call i64 @llvm.smax.i64(i64 %rest, i64 0)
  %worked = sub i64 %spent, %waited
  %alone = mul i64 %worked, %threads ; the work of all, had it fallen to the first
  %help = icmp sle i64 %spent, %alone
  %adapts = load i64, ptr %adapts.p
  %always = icmp eq i64 %adapts, 0
  %good = or i1 %help, %always
  br i1 %good, label %praise, label %blame
praise:
  %before = load i64, ptr %streak.p
  %fewer = sub i64 %before, 1
  %least = call i64 @llvm.smax.i64(i64 %fewer, i64 0)
  store i64 %least, ptr %streak.p
  br label %trust
trust:
  store i64 0, ptr %until.p
  ret void
blame:
  %streak = load i64, ptr %streak.p
  %more = add i64 %streak, 1
  %next = call i64 @llvm.smin.i64(i64 %more, i64 5)
  store i64 %next, ptr %streak.p
  %chance = icmp eq i64 %streak, 0
  br i1 %chance, label %trust, label %doubt
doubt:
  %half = shl i64 %spent, %streak
  %span = lshr i64 %half, 1
  %at.least = call i64 @llvm.smax.i64(i64 %span, i64 1000000)
  %four = shl i64 %spent, 2
  %bound = call i64 @llvm.smax.i64(i64 %four, i64 250000000)
  %pause = call i64 @llvm.smin.i64(i64 %at.least, i64 %bound)
  %until = add i64 %now, %pause
  store i64 %until, ptr %until.p
  ret void
}
declare i64 @llvm.smax.i64(i64, i64)
declare i64 @llvm.smin.i64(i64, i64)

; Begins a new epoch with so many threads, and wakes those who sleep; tells whether
; some of the threads wanted do.
define internal i1 @announce(ptr %team, i64 %threads) nounwind {
  %old = load atomic i64, ptr %team monotonic, align 8
  %bare = and i64 %old, -65536
  %following = add i64 %bare, 65536
  %epoch = or i64 %following, %threads
  store atomic i64 %epoch, ptr %team seq_cst, align 8
  ; pairs with the sleeper's: either it sees the epoch, or it is seen here
  fence seq_cst
  %sleepers.p = getelementptr i8, ptr %team, i64 $TEAM_SLEEPERS
  %sleepers = load atomic i64, ptr %sleepers.p seq_cst, align 8
  %some = icmp sgt i64 %sleepers, 0
  br i1 %some, label %wake, label %awake
wake:
  %mutex = getelementptr i8, ptr %team, i64 $TEAM_MUTEX
  %condition = getelementptr i8, ptr %team, i64 $TEAM_CONDITION
  %rc1 = call i32 @pthread_mutex_lock(ptr %mutex)
  %rc2 = call i32 @pthread_cond_broadcast(ptr %condition)
  %rc3 = call i32 @pthread_mutex_unlock(ptr %mutex)
  br label %awake
awake:
  %size.p = getelementptr i8, ptr %team, i64 $TEAM_SIZE
  %size = load i64, ptr %size.p
  %unwanted = sub i64 %size, %threads
  %cold = icmp sgt i64 %sleepers, %unwanted
  ret i1 %cold
}

define void @glubina_team_begin(ptr %team) nounwind {
  %mutex = getelementptr i8, ptr %team, i64 $TEAM_MUTEX
  %condition = getelementptr i8, ptr %team, i64 $TEAM_CONDITION
  %rc1 = call i32 @pthread_mutex_init(ptr %mutex, ptr null)
  %rc2 = call i32 @pthread_cond_init(ptr %condition, ptr null)
  ret void
}

; Sends the team's threads home, for good: `glubina_work` returns in each, and later jobs run on
; their callers' threads, as if the team were busy. Returns 0 if it is busy (call again), else 1.
define i64 @glubina_team_end(ptr %team) nounwind {
  %busy.p = getelementptr i8, ptr %team, i64 $TEAM_BUSY
  %pair = cmpxchg ptr %busy.p, i64 0, i64 1 acquire monotonic
  %got = extractvalue { i64, i1 } %pair, 1
  br i1 %got, label %end, label %busy
busy:
  ret i64 0
end:
  %cold = call i1 @announce(ptr %team, i64 $STOP)
  ret i64 1
}

; Where thread number `index` of a team spends its life.
define void @glubina_work(ptr %team, i64 %index) nounwind {
entry:
  %spin.p = getelementptr i8, ptr %team, i64 $TEAM_SPIN
  %spin = load i64, ptr %spin.p
  br label %rest
rest:
  %seen = phi i64 [0, %entry], [%epoch, %skip], [%epoch, %help]
  %awake = phi i64 [0, %entry], [0, %skip], [%spin, %help]
  %epoch = call i64 @await(ptr %team, i64 %seen, i64 %awake)
  %threads = and i64 %epoch, 65535
  %stop = icmp eq i64 %threads, $STOP
  br i1 %stop, label %end, label %choose
choose:
  %wanted = icmp slt i64 %index, %threads
  br i1 %wanted, label %help, label %skip
skip:
  br label %rest
help:
  %job.p = getelementptr i8, ptr %team, i64 $TEAM_JOB
  %job = load ptr, ptr %job.p
  call void @steps(ptr %team, ptr %job, i64 %index, i64 %threads)
  br label %rest
end:
  ret void
}

; Waits for an epoch other than `seen`: awake for so many nanoseconds, then asleep.
define internal i64 @await(ptr %team, i64 %seen, i64 %awake) nounwind {
entry:
  %begin = call i64 @now()
  br label %spin
spin:
  %n = phi i64 [0, %entry], [%n.next, %pause]
  %epoch = load atomic i64, ptr %team acquire, align 8
  %new = icmp ne i64 %epoch, %seen
  br i1 %new, label %found, label %tired
tired:
  %n.next = add i64 %n, 1
  %part = and i64 %n, 31
  %look = icmp eq i64 %part, 31
  br i1 %look, label %clock, label %pause
clock:
  %now = call i64 @now()
  %spent = sub i64 %now, %begin
  %over = icmp sgt i64 %spent, %awake
  br i1 %over, label %sleep, label %pause
pause:
  $PAUSE
  br label %spin
found:
  ret i64 %epoch
sleep:
  %mutex = getelementptr i8, ptr %team, i64 $TEAM_MUTEX
  %condition = getelementptr i8, ptr %team, i64 $TEAM_CONDITION
  %sleepers.p = getelementptr i8, ptr %team, i64 $TEAM_SLEEPERS
  %rc1 = call i32 @pthread_mutex_lock(ptr %mutex)
  %more = atomicrmw add ptr %sleepers.p, i64 1 seq_cst
  fence seq_cst
  br label %check
check:
  %epoch.late = load atomic i64, ptr %team seq_cst, align 8
  %same = icmp eq i64 %epoch.late, %seen
  br i1 %same, label %doze, label %up
doze:
  %rc2 = call i32 @pthread_cond_wait(ptr %condition, ptr %mutex)
  br label %check
up:
  %less = atomicrmw sub ptr %sleepers.p, i64 1 seq_cst
  %rc3 = call i32 @pthread_mutex_unlock(ptr %mutex)
  ret i64 %epoch.late
}
