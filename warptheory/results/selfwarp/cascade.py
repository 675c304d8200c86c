"""F5: stub for now."""
from warptheory.results.selfwarp._cascade_stages import CascadeStage as CascadeStage
from warptheory.results.selfwarp._cascade_stages import Convolved as Convolved
from warptheory.results.selfwarp._cascade_stages import Normalised as Normalised
from warptheory.results.selfwarp._cascade_stages import Rectified as Rectified
from warptheory.results.selfwarp._cascade_stages import Residual as Residual
from warptheory.results.selfwarp._cascade_stages import Warped as Warped
from warptheory.results.selfwarp._gradient_cascade import GradientCascade as GradientCascade
from warptheory.results.selfwarp._gradient_cascade import GradientProfile as GradientProfile
from warptheory.results.selfwarp._gradient_cascade import energy_of as energy_of
from warptheory.results.selfwarp._gradient_cascade import half_energy_share as half_energy_share
from warptheory.results.selfwarp._gradient_cascade import moments_of as moments_of
