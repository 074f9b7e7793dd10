#!/usr/bin/env bash
# Usage: scripts/slurm.sh PROGRAM --out RUN_DIR OPTION...
# Trains in the processes of a Slurm job, two nodes of five processes here: a run that exists in RUN_DIR goes on, in
# whatever number of processes. Two minutes before the job's time is over the processes are told to stop, which they do
# after a checkpoint, and the job queues again. To be changed and submitted:
#   sbatch --nodes=2 --ntasks-per-node=5 scripts/slurm.sh build/release/examples/cifar --out runs/wrn --data data
#SBATCH --job-name=lpw
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=5
#SBATCH --cpus-per-task=4
#SBATCH --time=12:00:00
#SBATCH --signal=TERM@120
#SBATCH --requeue
#SBATCH --open-mode=append
set -euo pipefail
unset CDPATH
die() { local line="slurm.sh: $*"; printf '%s\n' "${line//[[:cntrl:]]/?}" >&2; exit 1; }
usage() { awk 'NR == 1 { next } !/^#/ { exit } { sub(/^# ?/, ""); print }' <"$0"; }  # the comment above

case ${1:-} in
  -h | --help) usage; exit 0 ;;
  "") usage >&2; exit 2 ;;
esac
[ -n "${SLURM_JOB_ID:-}" ] || die "this is no Slurm job; submit it: sbatch $0 $*"
command -v srun >/dev/null || die "srun is not on PATH"

# A thread a processor of the process. MPI must know srun's processes: Open MPI by pmix, MPICH by pmi2. A process that
# dies ends the others.
export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1}
status=0
srun --mpi="${LPW_SLURM_MPI:-pmix}" --cpus-per-task="${SLURM_CPUS_PER_TASK:-1}" --kill-on-bad-exit=1 \
  "$@" --resume || status=$?
if [ "$status" -eq 143 ]; then  # 128 + SIGTERM: interrupted, with a checkpoint
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
