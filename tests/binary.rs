//! The program as people run it: the real binary, its arguments, exit codes and two streams, against look-alikes over
//! real sockets. What the engine decides is told by the `whole` tests; here counts what a shell sees.

mod binary {
    mod away;
    mod crashes;
    mod doctor;
    mod hand;
    mod privacy;
    mod refusals;
    mod run;
    mod showing;
    mod stage;
    mod syncs;
}
